package inventory

import "fmt"

// On returns the hosts of a fleet that a hook is for; nil is all of them.
func (h Hook) On(fleet *Fleet) (map[string]bool, error) {
	if h.Hosts == "" {
		return nil, nil
	}
	names, err := fleet.Select(h.Hosts)
	if err != nil {
		return nil, fmt.Errorf("hook %q: hosts: %w", h.Name, err)
	}
	on := map[string]bool{}
	for _, name := range names {
		on[name] = true
	}
	return on, nil
}

// Hooked says of every host of a fleet, by name, whether any of some hooks is for it.
func Hooked(fleet *Fleet, hooks []Hook) (map[string]bool, error) {
	hosts := map[string]bool{}
	for _, hook := range hooks {
		on, err := hook.On(fleet)
		if err != nil {
			return nil, err
		}
		for _, h := range fleet.Hosts {
			hosts[h.Name] = hosts[h.Name] || on == nil || on[h.Name]
		}
	}
	return hosts, nil
}
