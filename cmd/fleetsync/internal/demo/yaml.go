package demo

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"
	"time"

	"github.com/fleetsync/fleetsync/inventory"
)

// plain are paths and names that mean the same without quotes, {host} included outside of brackets.
var (
	plain      = regexp.MustCompile(`^/[A-Za-z0-9/._-]+$|^[a-z0-9]+\.[a-z]+\.wmnet$`)
	plainBlock = regexp.MustCompile(`^/[A-Za-z0-9/._{}-]+$`)
)

// blockPath returns a path as a YAML scalar that is not within brackets.
func blockPath(s string) string {
	if plainBlock.MatchString(s) {
		return s
	}
	return quoted(s)
}

// quoted returns a YAML scalar. Every JSON string is a double-quoted scalar of YAML 1.2 (chapter 1.3).
func quoted(s string) string {
	if plain.MatchString(s) {
		return s
	}
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // no string fails, and no Builder
	return strings.TrimSuffix(b.String(), "\n")
}

func flow(items []string) string {
	all := make([]string, len(items))
	for i, item := range items {
		all[i] = quoted(item)
	}
	return "[" + strings.Join(all, ", ") + "]"
}

func parse(text string) *template.Template {
	return template.Must(template.New("").Funcs(template.FuncMap{"q": quoted, "path": blockPath, "flow": flow}).Parse(text))
}

func render(t *template.Template, data any) ([]byte, error) {
	var b bytes.Buffer
	err := t.Execute(&b, data)
	return b.Bytes(), err
}

var inventoryTemplate = parse(`# What exists: a fleet on one machine, whose hosts are folders.
fleet: demo
tree:
  source: {{path .Source}}
  destination: {{path .Destination}}
  # For locks; on the destination's file system.
  scratch: {{path .Scratch}}
  # What the rsync daemons of masters and proxies call the tree.
  module: {{.Module}}
{{- if .Exclude}}
  exclude: {{flow .Exclude}}
{{- end}}
defaults: {connection: local}   # no ssh: every host is on this machine
hosts:
{{- range .Serving}}
  {{.Name}}: {datacenter: {{.Datacenter}}, rack: {{.Rack}}, endpoint: {{q .Endpoint}}{{with .Source}}, source: {{q .}}{{end}}}
{{- end}}
{{- range .Others}}
  {{.Names}}: {datacenter: {{.Datacenter}}, rack: {{.Rack}}}
{{- end}}
{{- with .Jobrunners}}
groups:
  jobrunners: {{flow .}}   # try: fleetsync plan --limit @jobrunners
{{- end}}
roles:
  masters:
{{- range .Masters}}
    - {host: {{.Name}}, serve: {{.Origin}}}
{{- end}}
  canaries: {{flow .Canaries}}
{{- with .Proxies}}
  proxies:
    - {hosts: {{flow .}}, slots: 4}
{{- end}}
`)

// exclude are the inventory's patterns for a generated tree. A tree that was given is synced whole.
var exclude = []string{"**/.git", "*.swp", "**/cache/l10n/*.cdb"}

type servingHost struct{ Name, Datacenter, Rack, Endpoint, Source string }

type otherHosts struct{ Names, Datacenter, Rack string }

type masterHost struct {
	Name   string
	Origin bool
}

// inventoryFile returns the inventory of a fleet.
func inventoryFile(o Options, hosts []host) ([]byte, error) {
	every := host{name: "{host}"}
	data := struct {
		Source, Destination, Scratch, Module string
		Exclude                              []string
		Serving                              []servingHost
		Others                               []otherHosts
		Masters                              []masterHost
		Canaries, Proxies, Jobrunners        []string
	}{
		Source:      host{origin: true}.source(o.Dir),
		Destination: every.destination(o.Dir),
		Scratch:     filepath.Join(filepath.Dir(every.destination(o.Dir)), ".fleetsync"),
		Module:      module,
		Canaries:    names(hosts, roleCanary),
		Proxies:     names(hosts, roleProxy),
	}
	if o.Tree == "" {
		data.Exclude = exclude
	}
	if ordinary := names(hosts, roleHost); len(ordinary) > 2 {
		data.Jobrunners = []string{inventory.FoldNames(ordinary[len(ordinary)-2:])}
	}
	type rack struct{ datacenter, name string }
	racks := map[rack][]string{}
	var order []rack
	for _, h := range hosts {
		if !h.serves() {
			r := rack{h.datacenter, h.rack}
			if racks[r] == nil {
				order = append(order, r)
			}
			racks[r] = append(racks[r], h.name)
			continue
		}
		s := servingHost{h.name, h.datacenter, h.rack, h.endpoint, ""}
		if h.role == roleMaster {
			data.Masters = append(data.Masters, masterHost{h.name, h.origin})
			if !h.origin {
				s.Source = h.source(o.Dir)
			}
		}
		data.Serving = append(data.Serving, s)
	}
	for _, r := range order {
		data.Others = append(data.Others, otherHosts{inventory.FoldNames(racks[r]), r.datacenter, r.name})
	}
	return render(inventoryTemplate, data)
}

var policyTemplate = parse(`# How to sync the fleet of inventory.yaml.
inventory: inventory.yaml
# Journals and logs of runs.
state: {{path .State}}
pooling:
  endpoints: {{flow .Pools}}
  prefix: {{.Prefix}}
  threshold: {{.Threshold}}%   # of each pool stay in, or fewer proxies serve
  drain: {{.Drain}}
  health: {http: {url: {{q .Health}}, status: 200}}   # asked before a proxy is repooled
batches: {parallel: 8, ramp: [2, 25%, 100%], max_failures: 1, attempts: 3}
gate:
  soak: {{.Soak}}   # the checks are repeated for so long
  interval: 500ms
  checks:   # of the canaries; to see a gate fail: touch hosts/{{.Canary}}/down
    - {name: front page, http: {url: {{q .Page}}, status: 200, body: "Main Page"}}
    - {name: tree, command: {{flow .Command}}}
guard:
{{- with .Required}}
  required: {{flow .}}
{{- end}}
  max_delete: 10%   # of the tree's files; more must be confirmed by their number
  max_shrink: 10%   # of the files and bytes of the last good run
{{- if .KeepAll}}
keep: {hosts: all}   # so that a whole run can be rolled back, not only the canaries
{{- end}}
modes:
  resync: {batches: {parallel: 16, max_failures: 50%}, gate: {soak: 0s}}
`)

// policyFile returns the policy of a fleet.
func policyFile(o Options, web, pools string) ([]byte, error) {
	command := []string{"test", "-d", "{destination}"}
	var required []string
	if o.Tree == "" {
		command = []string{"test", "-s", "{destination}/wikiversions.php"}
		required = []string{"wikiversions.php"}
	}
	return render(policyTemplate, struct {
		State, Prefix, Health, Page, Canary string
		Pools, Command, Required            []string
		KeepAll                             bool
		Threshold                           int
		Drain, Soak                         time.Duration
	}{
		State: filepath.Join(o.Dir, "state"), Prefix: prefix,
		Health: web + "/{host}/healthz", Page: web + "/{host}/wiki/Main_Page", Canary: names(lay(o), roleCanary)[0],
		Pools: []string{pools}, Command: command, Required: required, KeepAll: o.KeepAll,
		Threshold: threshold, Drain: o.Drain, Soak: o.Soak,
	})
}
