//go:build linux

package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// A command on a host is started by the host's first process, on the three files of who asks, which come over a
// socket in the file system (hence also to a host without a link). Its input is the client's own, so terminals and
// pipes are what they seem; a terminal's signals go to the client, which hands them on. When the client is
// gone, however it went, the command is killed.

// request is what a client asks for, once, with its files.
type request struct {
	Args []string
	Env  []string
	Dir  string // the host's / if the host has none of that name
}

// hint is what a client hands on while the command runs.
type hint struct{ Signal syscall.Signal }

// answer is how the command ended.
type answer struct {
	Code  int // as a shell says it: 128 and the signal that ended it
	Error string
}

const commandSocket = "commands"

// serveCommands starts to answer clients; it goes on until the process ends.
func serveCommands(dir, name string, p *processes) error {
	l, err := listenIn(hostDir(dir, name), commandSocket)
	if err != nil {
		return err
	}
	go func() {
		for {
			c, err := l.AcceptUnix()
			if err != nil {
				return
			}
			go serveCommand(c, p)
		}
	}()
	return nil
}

func serveCommand(c *net.UnixConn, p *processes) {
	defer func() { _ = c.Close() }() // nothing is written that an answer does not confirm
	files, err := receiveFiles(c)
	defer func() {
		for _, f := range files {
			_ = f.Close()
		}
	}()
	words := json.NewDecoder(c)
	var r request
	if err == nil {
		err = words.Decode(&r)
	}
	var pid int
	var ended <-chan syscall.WaitStatus
	if err == nil {
		dir := r.Dir
		if info, e := os.Stat(dir); e != nil || !info.IsDir() {
			dir = "/"
		}
		// The shell looks the program up in the client's PATH, and says 127 or 126.
		argv := append([]string{"/bin/sh", "-c", `exec "$@"`, "fleetlab"}, r.Args...)
		pid, ended, err = p.start(argv, os.ProcAttr{Dir: dir, Env: hostEnv(r.Env), Files: files})
	}
	if err != nil {
		_ = json.NewEncoder(c).Encode(answer{Code: 255, Error: err.Error()})
		return
	}
	for _, f := range files {
		_ = f.Close() // or a pipe's reader would wait for us
	}
	files = nil
	go func() {
		for {
			var h hint
			if err := words.Decode(&h); err != nil {
				p.signal(pid, syscall.SIGKILL)
				return
			}
			p.signal(pid, h.Signal)
		}
	}()
	status := <-ended
	a := answer{Code: status.ExitStatus()}
	if status.Signaled() {
		a.Code = 128 + int(status.Signal())
	}
	_ = json.NewEncoder(c).Encode(a)
}

// hostEnv is the environment of a command on a host: the given one, but for what says who and where one is.
func hostEnv(env []string) []string {
	own := map[string]string{"HOME": home, "USER": "root", "LOGNAME": "root", "SHELL": "/bin/sh"}
	out := slices.DeleteFunc(slices.Clone(env), func(e string) bool {
		name, _, _ := strings.Cut(e, "=")
		_, ours := own[name]
		return ours || name == "SSH_AUTH_SOCK" || strings.HasPrefix(name, "XDG_")
	})
	for name, value := range own {
		out = append(out, name+"="+value)
	}
	if clock, err := os.ReadFile(clockEnv); err == nil {
		out = append(out, strings.Fields(string(clock))...)
	}
	for i, e := range out {
		if path, ok := strings.CutPrefix(e, "PATH="); ok && !strings.Contains(path+":", "/usr/sbin:") {
			out[i] = e + ":/usr/local/sbin:/usr/sbin:/sbin" // as root's login would have
		}
	}
	return out
}

// runClient has a command run on a host, on this process's own files, and returns its exit code; 255 if there
// was none.
func runClient(dir, name string, args []string) int {
	code, err := client(dir, name, args)
	if err != nil {
		_, _ = fmt.Fprintf(os.Stderr, "fleetlab: %s: %v\n", name, err)
	}
	return code
}

func client(dir, name string, args []string) (int, error) {
	caught := make(chan os.Signal, 8)
	signal.Notify(caught, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2)
	s, err := readSpec(dir)
	if err == nil {
		_, err = s.index(name)
	}
	if err != nil {
		return 255, err
	}
	c, err := dialIn(hostDir(dir, name), commandSocket)
	if err != nil {
		return 255, fmt.Errorf("the host is not up: %w", err)
	}
	defer func() { _ = c.Close() }() // nothing is written that an answer does not confirm
	rights := syscall.UnixRights(0, 1, 2)
	if _, _, err := c.WriteMsgUnix([]byte{'\n'}, rights, nil); err != nil {
		return 255, err
	}
	dirNow, _ := os.Getwd() // none is the host's /
	words := json.NewEncoder(c)
	env := os.Environ()
	if os.Getenv("FLEETSYNC_CONFIG") == "" {
		env = append(env, "FLEETSYNC_CONFIG="+filepath.Join(dir, "fleetsync.yaml"))
	}
	if err := words.Encode(request{Args: args, Env: env, Dir: dirNow}); err != nil {
		return 255, err
	}
	go func() {
		for s := range caught {
			_ = words.Encode(hint{s.(syscall.Signal)}) // fails when the answer is on its way
		}
	}()
	var a answer
	if err := json.NewDecoder(c).Decode(&a); err != nil {
		return 255, errors.New("the host went down")
	}
	if a.Error != "" {
		return a.Code, errors.New(a.Error)
	}
	return a.Code, nil
}

func receiveFiles(c *net.UnixConn) ([]*os.File, error) {
	one, rights := make([]byte, 1), make([]byte, syscall.CmsgSpace(3*4))
	_, n, _, _, err := c.ReadMsgUnix(one, rights)
	if err != nil {
		return nil, err
	}
	messages, err := syscall.ParseSocketControlMessage(rights[:n])
	if err != nil {
		return nil, err
	}
	var files []*os.File
	for _, m := range messages {
		descriptors, err := syscall.ParseUnixRights(&m)
		if err != nil {
			return files, err
		}
		for _, d := range descriptors {
			syscall.CloseOnExec(d)
			files = append(files, os.NewFile(uintptr(d), "client's"))
		}
	}
	if len(files) != 3 {
		return files, fmt.Errorf("%d files came, not 3: %w", len(files), io.ErrUnexpectedEOF)
	}
	return files, nil
}

// A socket's address is at most 107 bytes long (unix(7)), a folder's path is not: so the address goes by a
// descriptor of the folder.

func listenIn(dir, name string) (*net.UnixListener, error) {
	if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	var l *net.UnixListener
	err := inFolder(dir, name, func(at *net.UnixAddr) (err error) {
		l, err = net.ListenUnix("unix", at)
		return err
	})
	return l, err
}

func dialIn(dir, name string) (*net.UnixConn, error) {
	var c *net.UnixConn
	err := inFolder(dir, name, func(at *net.UnixAddr) (err error) {
		c, err = net.DialUnix("unix", nil, at)
		return err
	})
	return c, err
}

func inFolder(dir, name string, do func(*net.UnixAddr) error) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }() // only an address
	err = do(&net.UnixAddr{Net: "unix", Name: fmt.Sprintf("/proc/self/fd/%d/%s", d.Fd(), name)})
	var op *net.OpError
	if errors.As(err, &op) {
		return fmt.Errorf("%s: %w", filepath.Join(dir, name), op.Err)
	}
	return err
}
