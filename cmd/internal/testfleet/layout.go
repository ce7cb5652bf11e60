package testfleet

// Role is what a host is for.
type Role string

// The roles of hosts.
const (
	RoleMaster Role = "master"
	RoleCanary Role = "canary"
	RoleProxy  Role = "proxy"
	RoleHost   Role = "host" // nothing but a destination
)

// Place is where a host is, and what for.
type Place struct {
	Datacenter string
	Number     int // within the datacenter, from 0
	Rack       string
	Role       Role
}

// Datacenters are those of every fleet.
var Datacenters = []string{"eqiad", "codfw"}

var racks = []string{"A5", "B7", "C6", "D5"}

// Layout returns the places of so many hosts, of which so many are proxies: one datacenter after the other. In each the
// first is a canary and the last are proxies; a fleet with too few hosts for that has one canary. There are more hosts
// than proxies.
func Layout(hosts, proxies int) []Place {
	canariesOf := [2]int{1, 0}
	if hosts-proxies > 2 {
		canariesOf[1] = 1
	}
	hostsOf := [2]int{(hosts + 1) / 2, hosts / 2}
	first := min((proxies+1)/2, hostsOf[0]-canariesOf[0])
	proxiesOf := [2]int{first, proxies - first}
	var places []Place
	for d, datacenter := range Datacenters {
		for i := range hostsOf[d] {
			p := Place{Datacenter: datacenter, Number: i, Rack: racks[i*len(racks)/hostsOf[d]], Role: RoleHost}
			if n := i - (hostsOf[d] - proxiesOf[d]); n >= 0 {
				p.Role, p.Rack = RoleProxy, racks[n%len(racks)]
			} else if i < canariesOf[d] {
				p.Role = RoleCanary
			}
			places = append(places, p)
		}
	}
	return places
}
