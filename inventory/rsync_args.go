package inventory

import (
	"regexp"
	"slices"
	"strings"
)

// checkBandwidth says what is wrong with a value of rsync's --bwlimit (man rsync: a number with an
// optional fraction and suffix; without one it means KiB/s).
func checkBandwidth(s string) *fault {
	if !bandwidth.MatchString(s) || strings.Trim(strings.TrimRight(s, "KMGTkmgtiBb"), "0.") == "" {
		return faultf("write a rate per second, such as 10M or 512K; leave the key out for no limit", "bad bandwidth limit %s", quote(s))
	}
	return nil
}

var bandwidth = regexp.MustCompile(`^[0-9]{1,12}(\.[0-9]{1,6})?([KMGTkmgt](i?[Bb])?)?$`)

// What rsync.args may hold. It is a list of what is allowed, not of what is not: rsync has 150
// options, gets new ones, and one that deletes, redirects or filters would break a promise without
// a word. An option with a value needs the form --NAME=VALUE: with the value missing, rsync
// would take the next argument for it, which is the source (man rsync, OPTION SUMMARY).
//
// After a sync a host's paths, types, sizes, permissions, link targets and mtimes of files, to the
// nanosecond, must be the origin's, so what changes one of them is no more allowed than what leaves
// something out.
var (
	rsyncFlags = strings.Fields(`
		--acls --checksum --fsync --fuzzy --hard-links --ignore-times --ipv4 --ipv6 --numeric-ids
		--omit-dir-times --open-noatime --preallocate --secluded-args --sparse --super --whole-file
		--xattrs --no-group --no-inc-recursive --no-motd --no-owner --no-whole-file`)
	rsyncValues = strings.Fields(`
		--address --block-size --checksum-seed --chown --compress-choice --compress-level --contimeout
		--groupmap --max-alloc --password-file --skip-compress --sockopts --usermap --zc --zl`)
	rsyncLetters = "46AHIOSWXcsy" // the short forms of some flags; they may stand together
)

type rsyncHint struct {
	argument *regexp.Regexp
	hint     string
}

// rsyncHints says what to do instead of giving rsync an argument of some kind.
var rsyncHints = []rsyncHint{
	{regexp.MustCompile(`^--bwlimit`), "use the key bandwidth_limit"},
	{regexp.MustCompile(`^(--(no-)?compress$|-[a-zA-Z0-9]*z)`), "use the key compress"},
	{regexp.MustCompile(`^--(no-)?timeout`), "use the key timeout"},
	{regexp.MustCompile(`^(--(exclude|include|filter|cvs-exclude)|-[a-zA-Z0-9]*[fFC])`), "use exclude under tree in the inventory"},
	{regexp.MustCompile(`^--port`), "use the key endpoint in the inventory"},
	{regexp.MustCompile(`^--(del|max-delete|force|ignore-errors|remove-|prune-empty)`),
		"fleetsync decides what is deleted, so that nothing is lost"},
	{regexp.MustCompile(`^(--(backup|suffix)|-[a-zA-Z0-9]*b)`), "use the policy's key keep, which puts what a sync replaced beside the tree"},
	{regexp.MustCompile(`^(--modify-window|-[a-zA-Z0-9]*@)`), "hosts are compared with the origin, and their mtimes to the nanosecond"},
	// Measured with 3.5.0: 29 and 30 do, 31 and 32 do not.
	{regexp.MustCompile(`^--protocol`), "protocols before 31 cut mtimes to seconds, and hosts are compared with the origin to the nanosecond"},
	{regexp.MustCompile(`^(--(existing|ignore-|update|max-size|min-size|size-only|copy-|safe-|munge-|` +
		`chmod|no-|append|drop-|executab|fake-|iconv|keep-|one-file)|-[a-zA-Z0-9]*[uLkKmxE])`),
		"the hosts would not hold the source's tree"},
}

// checkRsyncArg says what is wrong with an additional argument of rsync.
func checkRsyncArg(s string) *fault {
	if f := checkPrintable(s); f != nil {
		return f
	}
	if !strings.HasPrefix(s, "-") || strings.Trim(s, "-") == "" {
		return faultf("write each option as one argument: --NAME or --NAME=VALUE", "%s is not an option", quote(s))
	}
	name, value, hasValue := strings.Cut(s, "=")
	letters, short := strings.CutPrefix(s, "-")
	switch {
	case !hasValue && slices.Contains(rsyncFlags, name):
		return nil
	case hasValue && value != "" && slices.Contains(rsyncValues, name):
		return nil
	case slices.Contains(rsyncValues, name):
		return faultf("write "+name+"=VALUE", "option %s lacks its value", quote(s))
	case slices.Contains(rsyncFlags, name):
		return faultf("write "+name, "option %s takes no value", quote(s))
	case short && strings.Trim(letters, rsyncLetters) == "":
		return nil
	}
	for _, h := range rsyncHints {
		if h.argument.MatchString(s) {
			return faultf(h.hint, "rsync argument %s is not allowed", quote(s))
		}
	}
	hint := strings.TrimSpace(didYouMean(name, slices.Concat(rsyncFlags, rsyncValues)))
	if hint == "" {
		hint = "fleetsync sets it itself, or could not keep its promises with it"
	}
	return faultf(hint, "rsync argument %s is not allowed", quote(s))
}
