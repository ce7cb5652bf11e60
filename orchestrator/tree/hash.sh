# Prints the hashes of the files whose names are on standard input, NUL-terminated, in their order.
cd -- "$1" || exit 74
files=$2
temporary=$(mktemp -d) || exit 74
trap 'rm -rf -- "$temporary"' EXIT
cat >"$temporary/names" || exit 74

# sha256sum reads whatever it is given; what it read must be a file, and the same one before and after.
state() {
	xargs -0 -r sh -c 'exec find "$@" -maxdepth 0 -printf "%y %s %i %T@ %C@\\0"' fleetsync <"$temporary/names" >"$temporary/$1" || exit 65
	if grep -q -z -v '^f ' "$temporary/$1"; then die 65 "not all of them are files"; fi
}
state before

# In parts of their own: what several write into one pipe may be mixed.
parts=8
each=$(((files + parts - 1) / parts))
if [ "$files" -gt 0 ]; then
	split -t '\0' -l "$each" -d -a 1 -- "$temporary/names" "$temporary/part" || exit 74
	for part in "$temporary"/part?; do printf '%s\0' "$part"; done |
		xargs -0 -n 1 -P "$(nproc)" sh -c 'exec xargs -0 sha256sum --zero -- <"$1" >"$1.hashes"' fleetsync || exit 65
	cat -- "$temporary"/part?.hashes || exit 74
fi
state after
cmp -s -- "$temporary/before" "$temporary/after" || die 65 "some of them changed while they were read"
exit 0
