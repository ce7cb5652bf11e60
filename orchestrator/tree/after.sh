# Ends a sync, under the lock of its destination: prints the digest of the tree if it is asked for, and records what was synced,
# if the digest is the one that is expected or none is; else the record stays partial.
root=$1 last=$2 record=$3 want=$4 expected=$5 starts=$6
shift 6
cd -- "$root" || exit 74

# Tells whether the path $1 is in the tree: there, and not below a symlink.
within() {
	if [ ! -e "$1" ] && [ ! -L "$1" ]; then return 1; fi
	up=$1
	while :; do
		up=${up%/*}
		case $up in . | "$1") return 0 ;; esac
		if [ -L "$up" ]; then return 1; fi
	done
}

# find is given those that there are, and before the rest of its arguments.
found=0 rest=$(($# - starts))
while [ "$starts" -gt 0 ]; do
	one=$1
	shift
	if [ "$one" = . ] || within "$one"; then
		set -- "$@" "$one"
		found=$((found + 1))
	fi
	starts=$((starts - 1))
done
while [ "$rest" -gt 0 ]; do
	one=$1
	shift
	set -- "$@" "$one"
	rest=$((rest - 1))
done

sum=
if [ "$want" = yes ]; then
	if [ "$found" -gt 0 ]; then
		sum=$(digest find "$@") || die 74 "$root: cannot be listed"
	else
		sum=$(sha256sum </dev/null) # of nothing, because without a starting point find would take the whole tree
	fi
	sum=${sum%% *}
fi
if [ -n "$record" ] && { [ -z "$expected" ] || [ "$sum" = "$expected" ]; }; then
	put "$last" "$record,\"at\":\"$(date -u +%Y-%m-%dT%H:%M:%SZ)\",\"digest\":\"$sum\"}"
fi
printf '%s\n' "$sum"
exit 0
