// Package policy holds the rules of the house that a compiler does not know:
// which package may import which, through which one package each third-party
// library is entered, and what only the command may do. They are in its test.
package policy
