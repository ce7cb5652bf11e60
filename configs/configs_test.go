package configs_test

import (
	"reflect"
	"testing"

	"github.com/fleetsync/fleetsync/configs"
	"github.com/fleetsync/fleetsync/inventory"
)

func TestInventoryIsValid(t *testing.T) {
	fleet, err := inventory.ParseFleet("inventory.yaml", configs.Inventory)
	if err != nil {
		t.Fatalf("the example has mistakes:\n%v", err)
	}
	if len(fleet.Hosts) != 117 || len(fleet.Masters) != 2 || len(fleet.Canaries) != 3 || len(fleet.Proxies) != 5 {
		t.Errorf("%d hosts, %d masters, %d canaries, %d proxies; the comments speak of 117, 2, 3, 5",
			len(fleet.Hosts), len(fleet.Masters), len(fleet.Canaries), len(fleet.Proxies))
	}
}

// What the example does not mark as an example is the default, so that deleting a line changes nothing.
func TestPolicyHoldsTheDefaults(t *testing.T) {
	got, err := inventory.ParsePolicy("fleetsync.yaml", configs.Policy)
	if err != nil {
		t.Fatalf("the example has mistakes:\n%v", err)
	}
	want, err := inventory.ParsePolicy("fleetsync.yaml", []byte("inventory: inventory.yaml\npooling: {endpoints: ['http://h:1']}\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []*inventory.Policy{got, want} {
		p.Pooling.Endpoints, p.Pooling.Select, p.Pooling.Services, p.Pooling.Health, p.Pooling.Balancers = nil, nil, nil, nil, nil
	}
	same(t, "lock", got.Lock, want.Lock)
	if got.Inventory != want.Inventory || got.State != want.State {
		t.Errorf("inventory %q, state %q; the defaults are %q, %q", got.Inventory, got.State, want.Inventory, want.State)
	}
	if got.Hooks.Run.Pre[0].Timeout != 60e9 || got.Hooks.Run.Pre[0].Failure != inventory.HookFails {
		t.Errorf("the hook that shows the defaults is %+v", got.Hooks.Run.Pre[0])
	}
	got.Guard.Required, got.Guard.Provisioned, got.Guard.Owners, got.Guard.Untracked = nil, "", nil, nil
	same(t, "guard", got.Guard, want.Guard)
	same(t, "verify", got.Verify, want.Verify)
	same(t, "keep", got.Retention, want.Retention)
	same(t, "pooling", got.Pooling, want.Pooling)
	same(t, "rsync", got.Rsync, want.Rsync)
	for _, mode := range []inventory.Mode{inventory.ModeSync, inventory.ModeCanary} {
		got, want := got.For(mode), want.For(mode)
		got.Gate.Checks = nil
		same(t, string(mode), got, want)
	}
}

// What the example's hooks select is in the example's fleet.
func TestHooksSelectHosts(t *testing.T) {
	fleet, err := inventory.ParseFleet("inventory.yaml", configs.Inventory)
	if err != nil {
		t.Fatal(err)
	}
	policy, err := inventory.ParsePolicy("fleetsync.yaml", configs.Policy)
	if err != nil {
		t.Fatal(err)
	}
	for _, hooks := range [][]inventory.Hook{policy.Hooks.Hosts.Pre, policy.Hooks.Hosts.Post, policy.Hooks.Hosts.OnFailure} {
		for _, h := range hooks {
			if h.Hosts == "" {
				continue
			}
			if _, err := fleet.Select(h.Hosts); err != nil {
				t.Errorf("%s: %v", h.Name, err)
			}
		}
	}
}

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s is\n%+v, the default is\n%+v", what, got, want)
	}
}
