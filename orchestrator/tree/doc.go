// Package tree is a tree on a host: what is in it, its digest, what a sync of it replaces, and how that is put back.
//
// It decides nothing: which trees, when and after what is its caller's. A host is only ever told to run fixed scripts; what
// comes from a tree reaches them as NUL-terminated words on standard input, and no shell reads it. A host needs what
// transport needs of it, and GNU's findutils, coreutils, grep and sed.
//
// # What is kept
//
// Below the scratch folder, which is on the tree's file system and not in the tree, NAME being transport.FileName of the root:
//
//	NAME.lock                 held by whoever writes the tree (transport.LockFile)
//	NAME.last                 the Record: what the tree was synced to last, or that a change of it has begun and not ended
//	keep/NAME/RUN/before      the listing of the tree before the run's first sync; absent instead if there was no tree
//	keep/NAME/RUN/1, 2, …     what each attempt replaced or deleted (rsync(1), --backup-dir)
//	keep/NAME/RUN/last        the Record before the run
//	keep/NAME/RUN/undone      says that the run was undone
//	keep/NAME/RUN/undo.1, …   what each undo removed or replaced; and, if the run begins anew after it was undone, what its
//	                          attempts had kept
//
// A backup is whole once before or absent is there, and rsync is not started earlier. Each of these files is written beside its
// place, made durable and renamed.
//
// # Undo
//
// An undo compares the listing from before the run with one of now, and makes the difference undone: content from the
// oldest attempt that has it, folders, symlinks, hard links, owners, modes, and times in nanoseconds. What was kept is copied,
// not moved, and a copy is complete before it takes its place; so an undo that was killed is simply done again. Then the tree
// is listed once more, and anything but the old listing is an error.
//
// Nobody knows who made what an undo removes or replaces: the sync, or somebody since. So it is kept: moved aside, or linked
// there just before something else takes its place, in its backup and pruned with it. This takes no disk space, but the copies
// do; where there is too little for them, what was kept is linked into the tree instead.
//
// What it does not put back: ACLs and extended attributes of what only changed its metadata (of replaced content they are kept),
// ctimes and inode numbers, the number of links from outside of the tree or from what is excluded. What is excluded is never
// touched: a folder that has such in it stays, and is named.
package tree
