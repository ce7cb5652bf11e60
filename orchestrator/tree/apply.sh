# Changes a tree as standard input says, under the lock of its destination, and prints what it is afterwards.
# Input: lines "OPERATION ARGUMENT SIZE", each followed by so many bytes: words, each with a NUL at its end.
# Whatever comes from a tree arrives as such a word, hence at a program's argument: no shell reads it.
root=$1 keeps=$2 run=$3 seen=$4 last=$5 record=$6 gone=$7 format=$8
shift 8
dir=$keeps/$run
apart "$root" "${last%/*}" "$keeps"

now=$(digest look "$root" "$keeps" "$last" "$@") || die 74 "$root: cannot be listed"
if [ "${now%% *}" != "$seen" ]; then die 75 "the tree has changed since it was looked at"; fi
# Not if it says so already: on a full disk there may be no room before something is removed.
if ! partial "$last" "$run"; then printf '%s\n' "$record" | write "$last" || exit; fi

temporary=$dir/tmp
rm -rf -- "$temporary" || exit 74
if [ "$gone" = no ] && [ ! -d "$root" ]; then mkdir -- "$root" || exit 74; fi
extended=
for one in ACLs:--acls xattrs:--xattrs; do
	# rsync(1): what it was built with; what a file system does not have is no error.
	if rsync --version | grep -q "[ ,]${one%:*}" && ! rsync --version | grep -q "no ${one%:*}"; then extended="$extended ${one#*:}"; fi
done

failed() { die 74 "$1: not all could be done; the undo can be tried again"; }
if [ -d "$root" ]; then
	cd -- "$root" || exit 74
	while read -r operation argument size; do
		# What only changes metadata may fail: the comparison that follows names what is not as it was.
		case $operation in
		open) head -c "$size" | xargs -0 -r chmod u+rwx -- ;;
		remove) head -c "$size" | xargs -0 -r rm -f -- || failed "remove what rsync left" ;;
		room) head -c "$size" | xargs -0 -r mkdir -p -- || failed "make room for what goes" ;;
		# The first word is where to. Whose link the kernel refuses (proc(5), protected_hardlinks) is moved.
		spare) head -c "$size" | xargs -0 -r sh -c 'ln -P -t "$@" 2>/dev/null && exit
			to=$1
			shift
			for one do
				if [ -e "$to/${one##*/}" ] || [ -L "$to/${one##*/}" ]; then continue; fi
				mv -f -t "$to" -- "$one" || exit
			done' fleetsync || failed "keep what is replaced" ;;
		aside) head -c "$size" | xargs -0 -r mv -f -t || failed "move aside" ;;
		clear) head -c "$size" | xargs -0 -r rmdir -- || failed "remove folders that are in the way" ;;
		rmdir) head -c "$size" | xargs -0 -r rmdir --ignore-fail-on-non-empty -- || failed "remove folders" ;;
		mkdir) head -c "$size" | xargs -0 -r mkdir -- || failed "make folders" ;;
		restore)
			mkdir -p -- "$temporary" || exit 74
			# A new file is complete before it takes its place. Times are set again, because they are what it was found by.
			head -c "$size" | rsync --archive $extended --numeric-ids --ignore-times --whole-file --no-implied-dirs --from0 --files-from=- \
				"--temp-dir=$temporary" "$dir/$argument/" ./ || failed "restore content" ;;
		relink)
			mkdir -p -- "$temporary" || exit 74
			# Nothing is there any more, so that rsync makes links of what was kept (rsync(1), --link-dest; measured).
			head -c "$size" | rsync --archive $extended --numeric-ids --whole-file --no-implied-dirs --from0 --files-from=- \
				"--temp-dir=$temporary" "--link-dest=$dir/$argument/" "$dir/$argument/" ./ || failed "restore content" ;;
		split)
			mkdir -p -- "$temporary" || exit 74
			# The same, but of the tree's own content.
			head -c "$size" | rsync --archive $extended --numeric-ids --ignore-times --whole-file --no-implied-dirs --from0 --files-from=- \
				"--temp-dir=$temporary" ./ ./ || failed "separate hard links" ;;
		link) head -c "$size" | xargs -0 -r -n 2 ln -f -P -T -- || failed "make hard links" ;;
		symlink) head -c "$size" | xargs -0 -r -n 2 ln -s -f -T -- || failed "make symlinks" ;;
		fifo) head -c "$size" | xargs -0 -r mkfifo -- || failed "make fifos" ;;
		chown) head -c "$size" | xargs -0 -r chown -h "$argument" -- ;;
		chmod) head -c "$size" | xargs -0 -r chmod "$argument" -- ;;
		touch) head -c "$size" | xargs -0 -r -n 3 -P 4 touch -c -h -m ;;
		*) die 1 "$operation: not known" ;;
		esac
	done
	cd / || exit 74
fi
if [ "$gone" = yes ] && [ -d "$root" ]; then rmdir --ignore-fail-on-non-empty -- "$root" || exit 74; fi
rm -rf -- "$temporary"
if [ -d "$root" ]; then (cd -- "$root" && find . -ignore_readdir_race "$@" -printf "$format") || die 74 "$root: cannot be listed"; fi
exit 0
