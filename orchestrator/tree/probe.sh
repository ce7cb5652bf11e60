# Prints what a sync of a tree needs of this host, a NUL after each answer; it makes and changes nothing.
root=$1 scratch=$2
answer() { printf '%s\0' "$1"; }

answer "$(date +%s%N)"
answer "$(rsync --version 2>/dev/null | head -n 1)"
lacks=
for program in flock find sort sha256sum stat xargs; do
	command -v "$program" >/dev/null || lacks="$lacks $program"
done
answer "${lacks# }"
near() {
	near=$1
	while [ ! -e "$near" ]; do
		near=${near%/*}
		near=${near:-/}
	done
}
for one in "$root" "$scratch"; do
	near "$one"
	if [ ! -d "$near" ]; then
		answer "$near is not a folder"
	elif [ ! -w "$near" ]; then
		answer "$near cannot be written"
	elif [ "$near" = "$one" ]; then
		answer there
	else
		answer new
	fi
done
near "$root" && one=$(stat -L -c %d -- "$near")
near "$scratch" && other=$(stat -L -c %d -- "$near")
if [ "$one" = "$other" ]; then answer yes; else answer no; fi
near "$root"
answer "$(stat -f -c '%a %S' -- "$near")"
