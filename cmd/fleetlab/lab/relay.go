//go:build linux

package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// relay carries Ethernet frames between two devices, each a while after it came. It does what netem would,
// which not every kernel has.
type relay struct {
	a, b *os.File
	wait time.Duration
	ends sync.WaitGroup
}

// late is how many frames may be on their way in one direction; more are lost, as on any link.
const late = 8192

// biggest is a frame that is yet to be cut into packets (64 KiB), its Ethernet header, and what the kernel
// says about it.
const biggest = 64<<10 + 64

// newRelay starts to carry frames. Who starts it must close it.
func newRelay(a, b string, wait time.Duration) (*relay, error) {
	r := &relay{wait: wait}
	var err error
	if r.a, err = wire(a); err != nil {
		return nil, err
	}
	if r.b, err = wire(b); err != nil {
		_ = r.a.Close()
		return nil, err
	}
	r.carry(r.a, r.b)
	r.carry(r.b, r.a)
	return r, nil
}

type frame struct {
	due  time.Time
	data []byte
}

func (r *relay) carry(from, to *os.File) {
	frames := make(chan frame, late)
	r.ends.Add(2)
	go func() {
		defer r.ends.Done()
		defer close(frames)
		buffer := make([]byte, biggest)
		for {
			n, err := from.Read(buffer)
			if errors.Is(err, unix.ENETDOWN) {
				continue // said once for each time that the link goes down (packet(7)); it may come up again
			}
			if err != nil {
				return // closed
			}
			select {
			case frames <- frame{time.Now().Add(r.wait), append([]byte(nil), buffer[:n]...)}:
			default:
			}
		}
	}()
	go func() {
		defer r.ends.Done()
		for f := range frames {
			time.Sleep(time.Until(f.due))
			_, _ = to.Write(f.data) // a frame that cannot be sent is lost
		}
	}()
}

// close ends the relay. What was on its way is lost, or arrives.
func (r *relay) close() {
	_ = r.a.Close()
	_ = r.b.Close()
	r.ends.Wait()
}

// wire opens a device for reading and writing whole frames, each behind a virtio_net_hdr: so those arrive
// that the kernel has not cut into packets yet, or not given a checksum (packet(7), PACKET_VNET_HDR).
func wire(device string) (*os.File, error) {
	i, err := net.InterfaceByName(device)
	if err != nil {
		return nil, err
	}
	// No frames before it is bound to the device, or they would be those of all.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot open %s: %w", device, err)
	}
	for _, option := range [][3]int{
		{unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1},
		{unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1},
		{unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16 << 20},
	} {
		if err == nil {
			err = unix.SetsockoptInt(fd, option[0], option[1], option[2])
		}
	}
	if err == nil {
		var all [2]byte
		binary.BigEndian.PutUint16(all[:], unix.ETH_P_ALL)
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: binary.NativeEndian.Uint16(all[:]), Ifindex: i.Index})
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("cannot open %s: %w", device, err)
	}
	return os.NewFile(uintptr(fd), device), nil
}
