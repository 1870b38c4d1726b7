// Package world is a model of a world that is not clean, in which airgap is run
// with random sequences of what people do: folders in which other files lie, old
// bundles beside new ones, volumes and parity of several sets mixed, copies,
// damage, media that are full, commands that are killed, and places whose images
// others move meanwhile.
//
// The model is small. It knows what the bytes of every file are (see Content), by
// their hash, since all that writes files here is a step of the sequence; and it
// knows what every name in a place points to. After each step it is asked
//
//   - whether what was named is what was read, or it was refused;
//   - whether a command that ended with 0 has done what it was told, completely;
//   - whether nothing else changed: no file that airgap did not write, no older
//     bundle, no name of an image that the bundle does not have;
//   - whether nothing temporary was left.
//
// A sequence that fails is made as short as it can be, and printed as a script.
// Each kind of action has a file: pack.go, files.go, read.go and so on.
package world
