// Package hosts asks the hosts of a fleet what they have, and says how they are reached: what a host itself knows of its tree, the
// tree's digest and manifest, what a sync or an undo of it would do, which backups there are, what is free, what is missing.
//
// It changes nothing on any host, and knows no runs and no plans: what a question needs is an argument of it.
package hosts
