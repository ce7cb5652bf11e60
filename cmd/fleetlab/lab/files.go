//go:build linux

package lab

import (
	"bytes"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/fleetsync/fleetsync/inventory"
)

// Nothing here needs quotes: names, numbers and paths that validate has let through.
var inventoryTemplate = parse(`# What exists: hosts on one machine, each with an address, an sshd and an rsync daemon of its own.
fleet: lab
tree:
  source: {{.Source}}
  destination: {{.Destination}}
  scratch: {{.Scratch}}   # on the destination's file system
  module: {{.Module}}
defaults: {user: root}
hosts:
{{- range .Hosts}}
  {{.Names}}: {datacenter: {{.Datacenter}}, rack: {{.Rack}}}
{{- end}}
roles:
  masters:
{{- range $i, $name := .Masters}}
    - {host: {{$name}}, serve: {{eq $i 0}}}
{{- end}}
  canaries: [{{.Canaries}}]
{{- with .Proxies}}
  proxies:
    - {hosts: [{{.}}], slots: 10}
{{- end}}
`)

var policyTemplate = parse(`# How to sync the hosts of inventory.yaml. Made for the masters: fleetlab exec {{.Master}} -- fleetsync check
inventory: inventory.yaml
state: /var/lib/fleetsync   # every host has one of its own
pooling:
  endpoints: ["http://{{.Conf}}:{{.Port}}"]
  prefix: {{.Prefix}}
  threshold: 50%
  drain: {{.Drain}}
  health: {http: {url: "http://{host}/healthz", status: 200}}
batches: {parallel: 40, ramp: [10%, 50%, 100%], max_failures: 10%, attempts: 3, timeout: 5m}
gate:
  soak: {{.Soak}}
  interval: 500ms
  checks:   # of the canaries; to see a gate fail: fleetlab exec {{.Canary}} -- touch /srv/down
    - {name: front page, http: {url: "http://{host}/wiki/Main_Page", headers: {Host: en.wikipedia.org}, status: 200, body: "Main Page"}}
{{- if .Generated}}
    - {name: tree, command: [test, -s, "{destination}/{{.Versions}}"]}
guard:
  required: [{{.Versions}}]
{{- end}}
modes:
  resync: {batches: {parallel: 80, ramp: [100%], max_failures: 50%}, gate: {soak: 0s}}
`)

func parse(text string) *template.Template { return template.Must(template.New("").Parse(text)) }

// writeFleet writes the inventory and the policy, and loads them.
func writeFleet(o Options, hosts []Host) error {
	type place struct{ Names, Datacenter, Rack string }
	var places []place
	members := map[place][]string{}
	for _, h := range hosts {
		if h.Role == RoleConf {
			continue
		}
		p := place{"", h.Datacenter, h.Rack}
		if members[p] == nil {
			places = append(places, p)
		}
		members[p] = append(members[p], h.Name)
	}
	for i, p := range places {
		places[i].Names = inventory.FoldNames(members[p])
	}
	var fleet, policy bytes.Buffer
	err := inventoryTemplate.Execute(&fleet, map[string]any{
		"Source": source, "Destination": destination, "Scratch": scratch, "Module": module,
		"Hosts": places, "Masters": named(hosts, RoleMaster),
		"Canaries": quoted(named(hosts, RoleCanary)), "Proxies": quoted(named(hosts, RoleProxy)),
	})
	if err == nil {
		err = policyTemplate.Execute(&policy, map[string]any{
			"Conf": Conf, "Port": etcdPort, "Prefix": poolPrefix, "Drain": o.Drain, "Soak": o.Soak,
			"Master": named(hosts, RoleMaster)[0], "Canary": named(hosts, RoleCanary)[0],
			"Versions": versions, "Generated": o.Tree == "",
		})
	}
	if err == nil {
		err = writeAll(o.Dir, []file{{"inventory.yaml", fleet.String(), 0o644}, {"fleetsync.yaml", policy.String(), 0o644}})
	}
	if err != nil {
		return err
	}
	if _, err := inventory.LoadFleet(filepath.Join(o.Dir, "inventory.yaml")); err != nil {
		return err
	}
	_, err = inventory.LoadPolicy(filepath.Join(o.Dir, "fleetsync.yaml"))
	return err
}

// quoted returns names for a place within brackets, where a comma would end one.
func quoted(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return `"` + inventory.FoldNames(names) + `"`
}

// writeHosts writes what hosts have instead of the machine's files in /etc: who is who, and that nobody
// else is asked.
func writeHosts(dir string, hosts []Host, passwd string) error {
	var names strings.Builder
	names.WriteString("127.0.0.1 localhost\n")
	for _, h := range hosts {
		names.WriteString(h.Address + " " + h.Name + "\n")
	}
	// The machine's users, but for root: its shell and what it reads at login are the machine's affair,
	// and a password that is locked by ! keeps sshd from letting it in (auth.c, allowed_user).
	users := []string{"root:x:0:0:root:" + home + ":/bin/sh"}
	for line := range strings.Lines(passwd) {
		if !strings.HasPrefix(line, "root:") {
			users = append(users, strings.TrimSuffix(line, "\n"))
		}
	}
	return writeAll(filepath.Join(dir, "etc"), []file{
		{"hosts", names.String(), 0o644},
		{"passwd", strings.Join(users, "\n") + "\n", 0o644},
		{"shadow", "root:*:20000:0:99999:7:::\n", 0o600},
		{"nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files\nservices: files\nprotocols: files\n", 0o644},
	})
}
