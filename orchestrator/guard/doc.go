// Package guard looks at a tree before anything is synced from it, and says what is wrong with it.
//
// Scan makes the manifest of a tree, with the hash of each file, and reads only what has changed since the manifest of an
// earlier scan. Inspect judges a tree by its manifest and a few questions more: what must be there, how much may
// have gone, who owns it, what git thinks of it.
//
// Both see a tree through the interface Tree, so that it may be on this machine (Local) or on another one. A tree is
// hostile: its names are quoted before they become part of a message, lists of findings are bounded, and git runs
// without anything that a repository's configuration could make it run.
//
// The package never changes a tree, decides nothing about a run, and asks nobody. What it cannot find out is
// an error or a refusal, never a pass.
package guard
