// Package configs holds the example files that a new fleet is started from.
//
// They are embedded, so that the program can write them out wherever it is installed. The package
// imports nothing of fleetsync and reads no file; that its examples are valid is proved by a test
// that loads each as users would.
package configs

import _ "embed"

// Inventory is an example of an inventory file, with comments that explain every key. It must not be
// changed.
//
//go:embed inventory.yaml
var Inventory []byte

// Policy is an example of a policy file for the fleet of Inventory, with comments that explain every
// key. Its values are the defaults wherever there is one. It must not be changed.
//
//go:embed fleetsync.yaml
var Policy []byte
