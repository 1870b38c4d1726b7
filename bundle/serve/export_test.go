package serve

import "time"

const MaxSending = maxSending

// Impatient makes the registry give up clients sooner.
func (r *Registry) Impatient(stall time.Duration) { r.stall = stall }
