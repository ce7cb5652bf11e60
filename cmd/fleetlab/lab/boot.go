//go:build linux

package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fleetsync/fleetsync/cmd/internal/testfleet"
)

// home is root's on every host, so that nothing of the machine's own is read.
const home = "/run/root"

// runHost is the first process of a host. It waits on its standard input for a line, which comes when the
// host has its link; says that it is ready when its daemons answer; and never ends by itself.
func runHost(dir, name string) error {
	s, err := readSpec(dir)
	if err != nil {
		return err
	}
	i, err := s.index(name)
	if err != nil {
		return err
	}
	h := s.Hosts[i]
	if err := unix.Sethostname([]byte(name)); err != nil {
		return fmt.Errorf("cannot name the host: %w", err)
	}
	if err := mountHost(dir, name); err != nil {
		return err
	}
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		return fmt.Errorf("the world has ended: %w", err)
	}
	ctx := context.Background() // a host ends by being killed
	if err := batch(ctx, "ip", ownLinks(h.Address)...); err != nil {
		return err
	}
	if s.Options.Rate != "" && h.Role != RoleConf {
		if err := batch(ctx, "tc", shape("eth0", s.Options.Rate)); err != nil {
			return err
		}
	}
	// From here on whoever ends is reaped by one loop, so nothing else may wait for a process.
	p := newProcesses()
	go p.reap()
	if err := serveCommands(dir, name, p); err != nil {
		return err
	}
	daemons, ports, err := h.daemons()
	if err != nil {
		return err
	}
	died := make(chan error, len(daemons))
	for _, argv := range daemons {
		if err := p.daemon(argv, died); err != nil {
			return err
		}
	}
	if h.Role != RoleConf {
		l, err := net.Listen("tcp4", h.Address+":80")
		if err != nil {
			return err
		}
		pages := testfleet.Pages{Tree: destination, Down: downFile, Generated: s.Options.Tree == ""}
		go func() { _ = testfleet.NewServer(pages.Handler()).Serve(l) }() // ends with the host
	}
	if err := listening(ports, died); err != nil {
		return err
	}
	_, _ = fmt.Println(ready)
	select {}
}

// daemons returns the argument vectors of what runs on a host, and the ports that they listen on.
func (h Host) daemons() (daemons [][]string, ports []int, _ error) {
	if h.Role == RoleConf {
		url := "http://" + h.Address + ":" + etcdPort
		port, _ := strconv.Atoi(etcdPort) // it is one
		const peer = "http://127.0.0.1:2380"
		return [][]string{{"etcd", "--enable-v2", "--name", h.Name, "--data-dir", "/srv/etcd",
			"--listen-client-urls", url, "--advertise-client-urls", url,
			"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", h.Name + "=" + peer,
			// A member that is alone need not wait for others to vote.
			"--heartbeat-interval", "10", "--election-timeout", "100", "--logger", "capnslog", "--log-outputs", "stderr"}}, []int{port}, nil
	}
	for _, dir := range []string{h.served(), destination} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, nil, err
		}
	}
	sshd, err := lookSbin("sshd") // sshd must be started by its absolute path (sshd(8)), because it starts itself anew
	if err != nil {
		return nil, nil, err
	}
	conf := "/run/rsyncd.conf"
	if err := os.WriteFile(conf, []byte(strings.Join([]string{
		"address = " + h.Address, "use chroot = yes", "reverse lookup = no",
		"uid = root", "gid = root",
		"log file = /var/log/rsyncd.log", "lock file = /run/rsyncd.lock", "pid file = /run/rsyncd.pid",
		"[" + module + "]", "path = " + h.served(), "read only = yes", "list = no", "max connections = 100",
	}, "\n")+"\n"), 0o644); err != nil {
		return nil, nil, err
	}
	return [][]string{
		{sshd, "-D", "-e", "-f", "/etc/ssh/sshd_config"},
		{"rsync", "--daemon", "--no-detach", "--config=" + conf},
	}, []int{22, 873}, nil
}

// mountHost gives this process's mount namespace what a host has of its own.
func mountHost(dir, name string) error {
	own, etc := hostDir(dir, name), filepath.Join(dir, "etc")
	if err := private(); err != nil {
		return err
	}
	binds := []struct{ from, to string }{
		{filepath.Join(own, "srv"), "/srv"},
		{filepath.Join(own, "lib"), "/var/lib"},
		{filepath.Join(own, "log"), "/var/log"},
		{filepath.Join(own, "ssh"), "/etc/ssh"},
		{filepath.Join(etc, "hosts"), "/etc/hosts"},
		{filepath.Join(etc, "passwd"), "/etc/passwd"},
		{filepath.Join(etc, "shadow"), "/etc/shadow"},
		{filepath.Join(etc, "nsswitch.conf"), "/etc/nsswitch.conf"},
	}
	for _, b := range binds {
		if _, err := os.Stat(b.to); errors.Is(err, os.ErrNotExist) && strings.HasPrefix(b.from, etc) {
			continue // a machine without it does not read it
		}
		if err := unix.Mount(b.from, b.to, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("cannot give the host a %s of its own: %w (the machine must have one)", b.to, err)
		}
	}
	if err := unix.Mount("tmpfs", "/run", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755,size=16m"); err != nil {
		return fmt.Errorf("cannot give the host a /run of its own: %w", err)
	}
	// sshd refuses to start without /run/sshd (sshd(8), FILES); Debian's own is made at boot.
	for _, d := range []string{"/run/sshd", "/run/lock", home} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return err
		}
	}
	// No IPv6: its neighbour discovery is only noise here.
	for _, which := range []string{"all", "default"} {
		_ = os.WriteFile("/proc/sys/net/ipv6/conf/"+which+"/disable_ipv6", []byte("1"), 0) // a kernel without it has nothing to disable
	}
	return nil
}

// private makes this process's mount namespace its own, and gives it the /proc of its PID namespace.
func private() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("cannot keep mounts to itself: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("cannot mount /proc: %w", err)
	}
	return nil
}

// listening waits until something listens on each of the ports of this network namespace. It looks at the
// kernel's table: to connect would cost an sshd a process. A daemon that died will not listen any more.
func listening(ports []int, died <-chan error) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(60 * time.Second); ; {
		table, err := os.ReadFile("/proc/net/tcp")
		if err != nil {
			return err
		}
		missing := 0
		for _, p := range ports {
			if !listens(string(table), p) {
				missing = p
			}
		}
		switch {
		case missing == 0:
			return nil
		case time.Now().After(end):
			return fmt.Errorf("nothing listens on port %d after a minute", missing)
		}
		select {
		case err := <-died:
			return err
		case <-tick.C:
		}
	}
}

// listens reads /proc/net/tcp (proc(5)): local address and port in hexadecimal, then the remote ones, then the
// state, of which 0A is LISTEN.
func listens(table string, port int) bool {
	suffix := fmt.Sprintf(":%04X", port)
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) > 3 && strings.HasSuffix(f[1], suffix) && f[3] == "0A" {
			return true
		}
	}
	return false
}
