// Package faults makes things go wrong while bundles travel, and looks at what
// comes of it.
package faults
