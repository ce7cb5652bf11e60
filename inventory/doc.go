// Package inventory turns YAML into a Fleet and a Policy.
//
// It reads files, and nothing else: no network, no host, no state of a run. Parsing is strict: every
// mistake is reported at once, each with its position, the line it is on and what to do. Errors about
// content are of type Problems; any other error means that a file could not be read.
//
// # Names
//
// A host is named as DNS would: labels of letters, digits, - and _, joined by dots. That leaves out
// whatever a shell, rsync or ssh could misread. Wherever the files name hosts they take patterns, such
// as mw[1017-1070,1080].eqiad.wmnet (see ExpandRange), and in groups and roles references to groups,
// such as @jobrunners. FoldNames goes the other way, for people.
//
// # Selections
//
// Fleet.Select reads what --limit takes:
//
//	mw[1017-1020].eqiad.wmnet,tin.eqiad.wmnet     hosts and ranges; the comma joins, and binds tightest
//	mw10*                                         a glob: * and ?
//	@jobrunners                                   a group
//	role:canaries  datacenter:eqiad  rack:B7      hosts by what the inventory says of them
//	datacenter:eqiad and not (@jobrunners or mw1017.eqiad.wmnet)
//
// # Values
//
// An amount is a count (8) or a share (2.5%), rounded down. A duration is what time.ParseDuration takes,
// with days of 24 hours before it or alone (14d, 1d12h). A size is 0, or a whole number and K, M, G or T,
// which are powers of 1024 bytes.
//
// # Invariants
//
//   - A Fleet refers only to hosts that it has, has a master that may serve, and no host has two roles.
//   - Paths are absolute, clean, and no folder of the system. On one machine nothing that is synced or
//     synced from lies in another such folder or in a scratch folder, because a sync deletes.
//   - Exclude patterns mean the same to rsync and to find, and rsync's additional arguments cannot
//     delete, redirect or leave anything out, nor make a host's metadata differ from the origin's.
//   - What a Guard requires lies within the tree, its patterns compile, and its budgets are bounded.
//   - A hook has a name that no other in its list has, a program, a bounded time, and of its hosts an expression whose
//     syntax is right. What it refers to is for Fleet.Select to find out.
//   - The keys of the lock and those of the pools never lie among each other.
//   - Whatever a file holds, reading it ends soon and in bounded memory: 8 MiB, 100,000 hosts,
//     1,000,000 names in groups. YAML's aliases, anchors, merge keys and tags are refused.
//   - No error repeats a line that may hold a password, or prints a control character.
package inventory
