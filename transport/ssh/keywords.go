package ssh

import "strings"

// What a keyword means to us. Those in none of the lists are new or wrong: only the program can tell.
var (
	honoured = set(strings.Fields(`
		addressfamily ciphers connecttimeout globalknownhostsfile hostkeyalgorithms hostkeyalias hostname identitiesonly
		identityagent identityfile ignoreunknown kexalgorithms macs port proxycommand proxyjump serveralivecountmax
		serveraliveinterval user userknownhostsfile`))
	// Each changes whom one talks to, whom one trusts or how one proves oneself, unless it has one of the values.
	refusedUnless = map[string][]string{
		"bindaddress":                      nil,
		"bindinterface":                    nil,
		"casignaturealgorithms":            nil,
		"certificatefile":                  {"none"},
		"canonicalizehostname":             {"no"},
		"hostbasedauthentication":          {"no"},
		"knownhostscommand":                {"none"},
		"nohostauthenticationforlocalhost": {"no"},
		"pkcs11provider":                   {"none"},
		"preferredauthentications":         {"publickey"},
		"pubkeyacceptedalgorithms":         nil,
		"pubkeyacceptedkeytypes":           nil,
		"pubkeyauthentication":             {"yes", "unbound", "host-bound"},
		"requiredrsasize":                  nil,
		"revokedhostkeys":                  {"none"},
		"securitykeyprovider":              {"internal"},
		"smartcarddevice":                  {"none"},
		"verifyhostkeydns":                 {"no", "ask"},
	}
	// What is about people at terminals, forwarding, speed, or gone from ssh. Any StrictHostKeyChecking
	// is as good as yes: a key that is not known is refused.
	harmless = set(strings.Fields(`
		addkeystoagent afstokenpassing batchmode canonicaldomains canonicalizefallbacklocal canonicalizemaxdots
		canonicalizepermittedcnames challengeresponseauthentication channeltimeout checkhostip cipher clearallforwardings
		compression compressionlevel connectionattempts controlmaster controlpath controlpersist dsaauthentication
		dynamicforward enableescapecommandline enablesshkeysign escapechar exitonforwardfailure fallbacktorsh
		fingerprinthash forkafterauthentication forwardagent forwardx11 forwardx11timeout forwardx11trusted gatewayports
		globalknownhostsfile2 gssapiauthentication gssapiclientidentity gssapidelegatecredentials gssapikeyexchange gssapikexalgorithms
		gssapirenewalforcesrekey gssapiserveridentity gssapitrustdns hashknownhosts hostbasedacceptedalgorithms hostbasedkeytypes ipqos
		kbdinteractiveauthentication kbdinteractivedevices keepalive kerberosauthentication kerberostgtpassing localcommand
		localforward loglevel logverbose numberofpasswordprompts obscurekeystroketiming passwordauthentication
		permitlocalcommand permitremoteopen protocol proxyusefdpass rekeylimit remotecommand remoteforward requesttty
		rhostsauthentication rhostsrsaauthentication rsaauthentication sendenv sessiontype setenv skeyauthentication
		stdinnull streamlocalbindmask streamlocalbindunlink stricthostkeychecking syslogfacility tcpkeepalive tisauthentication
		tunnel tunneldevice updatehostkeys useprivilegedport userknownhostsfile2 useroaming usersh visualhostkey
		warnweakcrypto xauthlocation versionaddendum`))
)

// set returns words as a set.
func set(words []string) map[string]bool {
	m := map[string]bool{}
	for _, w := range words {
		m[w] = true
	}
	return m
}
