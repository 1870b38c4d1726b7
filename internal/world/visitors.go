//go:build linux

package world

import (
	"maps"
	"net"
	"net/http"
	"sync"
)

// visitors are the connections to a server, so that one can wait until all is done
// that somebody has asked for who was killed.
type visitors struct {
	change *sync.Cond
	open   map[net.Conn]bool
}

func newVisitors() visitors { return visitors{sync.NewCond(&sync.Mutex{}), map[net.Conn]bool{}} }

// connected is told by the server.
func (v visitors) connected(c net.Conn, state http.ConnState) {
	v.change.L.Lock()
	defer v.change.L.Unlock()
	switch state {
	case http.StateNew:
		v.open[c] = true
	case http.StateClosed:
		delete(v.open, c)
		v.change.Broadcast()
	}
}

// now are those that are open.
func (v visitors) now() map[net.Conn]bool {
	v.change.L.Lock()
	defer v.change.L.Unlock()
	return maps.Clone(v.open)
}

// waitForOthers waits until all but some are closed.
func (v visitors) waitForOthers(some map[net.Conn]bool) {
	v.change.L.Lock()
	defer v.change.L.Unlock()
	for {
		others := maps.Clone(v.open)
		maps.DeleteFunc(others, func(c net.Conn, _ bool) bool { return some[c] })
		if len(others) == 0 {
			return
		}
		v.change.Wait()
	}
}
