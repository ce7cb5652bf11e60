package testfleet

import "github.com/fleetsync/fleetsync/inventory"

// Inventory is what an inventory says. Paths may hold {host}.
type Inventory struct {
	About, Fleet        string // what its first comment says; the fleet's name
	Source, Destination string
	Scratch, Module     string
	Exclude             []string
	Defaults            string   // of hosts, as a mapping in braces; a comment may follow
	Hosts               []Host   // in their order; masters among them
	Masters             []string // the first may serve
	Canaries, Proxies   []string // names or ranges
	Slots               int      // of each proxy
	Jobrunners          []string // a group for trying --limit
}

// Host is a host as an inventory has it. One with an endpoint or a source of its own has a line of its own.
type Host struct{ Name, Datacenter, Rack, Endpoint, Source string }

var inventoryTemplate = parse(`# What exists: {{.About}}
fleet: {{.Fleet}}
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
defaults: {{.Defaults}}
hosts:
{{- range .Serving}}
  {{.Name}}: {datacenter: {{.Datacenter}}, rack: {{.Rack}}, endpoint: {{q .Endpoint}}{{with .Source}}, source: {{q .}}{{end}}}
{{- end}}
{{- range .Others}}
  {{.Name}}: {datacenter: {{.Datacenter}}, rack: {{.Rack}}}
{{- end}}
{{- with .Jobrunners}}
groups:
  jobrunners: {{flow .}}   # try: fleetsync plan --limit @jobrunners
{{- end}}
roles:
  masters:
{{- range $i, $name := .Masters}}
    - {host: {{$name}}, serve: {{eq $i 0}}}
{{- end}}
  canaries: {{flow .Canaries}}
{{- with .Proxies}}
  proxies:
    - {hosts: {{flow .}}, slots: {{$.Slots}}}
{{- end}}
`)

// File returns the inventory as a file.
func (v Inventory) File() ([]byte, error) {
	data := struct {
		Inventory
		Serving, Others []Host
	}{Inventory: v}
	members := map[Host][]string{} // of each place
	for _, h := range v.Hosts {
		if h.Endpoint != "" || h.Source != "" {
			data.Serving = append(data.Serving, h)
			continue
		}
		place := Host{Datacenter: h.Datacenter, Rack: h.Rack}
		if members[place] == nil {
			data.Others = append(data.Others, place)
		}
		members[place] = append(members[place], h.Name)
	}
	for i, place := range data.Others {
		data.Others[i].Name = inventory.FoldNames(members[place])
	}
	return render(inventoryTemplate, data)
}
