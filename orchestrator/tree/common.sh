export LC_ALL=C
umask 077

die() {
	code=$1
	shift
	printf '%s\n' "$*" >&2
	exit "$code"
}

# Keeps standard input as the file $1, which afterwards either is whole and durable, or what it was before.
write() {
	cat >"$1.new" && sync -- "$1.new" && mv -f -- "$1.new" "$1" && sync -- "${1%/*}" || die 74 "$1: cannot be written"
}

# Keeps the line $2 as the file $1, whole or as it was before. It does not wait for the disk, which after a cold copy
# would write the whole tree first. A power cut may lose the newest record, but not one that is older than what rsync has
# renamed since: a file system that keeps a journal writes names in their order.
put() {
	printf '%s\n' "$2" >"$1.new" && mv -f -- "$1.new" "$1" || die 74 "$1: cannot be written"
}

# Prints the digest of what is printed on standard output by the rest of the arguments, if that succeeds.
digest() {
	{
		failed=$({ { "$@" || echo failed >&3; } | sort -z | sha256sum >&4; } 3>&1)
	} 4>&1
	[ -z "$failed" ]
}

# Prints what tells whether anything was done to the tree $1, to the keeps $2 or to the record $3; the rest is find's
# expression.
look() {
	if [ -d "$1" ]; then
		(cd -- "$1" && shift 3 && find . -ignore_readdir_race "$@" -printf '%i %C@ %p\0') || return
	fi
	if [ -e "$3" ]; then find "$3" -printf '%i %C@\0' || return; fi
	find "$2" -mindepth 1 -maxdepth 2 -printf '%i %C@ %p\0'
}

# Tells whether the record $1 says that the tree is partial because of the run $2.
partial() {
	case $(cat -- "$1" 2>/dev/null) in "{\"run\":\"$2\","*"\"partial\":true"*) return 0 ;; esac
	return 1
}

# Ends all of it unless the tree $1 is apart from the scratch folder $2 and the keeps $3, wherever symlinks lead: what is written
# beside a tree would be its own, deleted by the next sync. There may be none of them yet.
apart() {
	nl='
'
	where=$(realpath -m -- "$1" "$2" "$3" && echo .)
	case $where in
	*"$nl"*"$nl"*"$nl"*"$nl"*)
		# Somewhere is a name of more than one line.
		set -- "$1" "$2" "$(realpath -m -- "$1" && echo .)" "$(realpath -m -- "$2" && echo .)" "$(realpath -m -- "$3" && echo .)"
		set -- "$1" "$2" "${3%"$nl".}/" "${4%"$nl".}/" "${5%"$nl".}/" ;;
	*"$nl"*"$nl"*"$nl".)
		set -- "$1" "$2" "${where%%"$nl"*}/" "${where#*"$nl"}"
		set -- "$1" "$2" "$3" "${4%%"$nl"*}/" "${4#*"$nl"}"
		set -- "$1" "$2" "$3" "$4" "${5%%"$nl"*}/" ;;
	*) die 1 "$1 or $2: where it is cannot be told" ;;
	esac
	# Of / nothing is left but that.
	if [ "$3" = // ]; then set -- "$1" "$2" / "$4" "$5"; fi
	for one in "$4" "$5"; do
		case $one in "$3"*) die 1 "$2 is in the tree $1, by a symlink: ${one%/} is not beside ${3%/}; name another scratch folder" ;; esac
	done
	case $3 in "$5"*) die 1 "the tree $1 is in what is kept of it, by a symlink: ${3%/} is in ${5%/}; name another scratch folder" ;; esac
}
