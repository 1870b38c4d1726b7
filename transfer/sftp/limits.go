package sftp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// How much of a file a packet carries, in bytes: what every server takes, and
// what OpenSSH's takes.
const (
	smallPacket = 32 << 10
	largePacket = 255 << 10
)

// Packets of the protocol's version 3, as draft-ietf-secsh-filexfer-02 has them.
const (
	fxpInit          = 1
	fxpVersion       = 2
	fxpExtended      = 200
	fxpExtendedReply = 201

	maxReply = 256 << 10
)

const limitsExtension = "limits@openssh.com"

// introduce greets a server and asks it for the largest packet that it takes,
// which the SFTP client cannot. The client, which greets once more, is to be
// given what is returned: the server's greeting is repeated to it, and its own
// swallowed.
func introduce(r io.Reader, w io.WriteCloser) (packet int, _ io.Reader, _ io.WriteCloser, err error) {
	greeting := []byte{0, 0, 0, 5, fxpInit, 0, 0, 0, 3}
	if _, err := w.Write(greeting); err != nil {
		return 0, nil, nil, err
	}
	version, err := readPacket(r)
	if err != nil {
		return 0, nil, nil, err
	}
	packet = smallPacket
	if offersLimits(version) {
		if packet, err = askLimit(r, w); err != nil {
			return 0, nil, nil, err
		}
	}
	again := binary.BigEndian.AppendUint32(nil, uint32(len(version)))
	return packet, io.MultiReader(bytes.NewReader(append(again, version...)), r), &swallower{w, len(greeting)}, nil
}

// readPacket reads a packet without its length.
func readPacket(r io.Reader) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(length[:])
	if n == 0 || n > maxReply {
		return nil, fmt.Errorf("a packet of %d bytes: that is not SFTP", n)
	}
	packet := make([]byte, n)
	_, err := io.ReadFull(r, packet)
	return packet, err
}

// offersLimits looks for the extension in a server's greeting. What is wrong
// with it otherwise is for the client to say.
func offersLimits(version []byte) bool {
	if len(version) < 5 || version[0] != fxpVersion {
		return false
	}
	for rest := version[5:]; ; {
		name, after, ok := cutString(rest)
		if !ok {
			return false
		}
		if string(name) == limitsExtension {
			return true
		}
		if _, rest, ok = cutString(after); !ok {
			return false
		}
	}
}

// cutString takes a string from the front of a packet.
func cutString(b []byte) (s, rest []byte, ok bool) {
	if len(b) < 4 {
		return nil, nil, false
	}
	n := binary.BigEndian.Uint32(b)
	if b = b[4:]; uint64(n) > uint64(len(b)) {
		return nil, nil, false
	}
	return b[:n], b[n:], true
}

// askLimit asks how much of a file may be read and written at once.
func askLimit(r io.Reader, w io.Writer) (int, error) {
	request := []byte{fxpExtended, 0, 0, 0, 0}
	request = binary.BigEndian.AppendUint32(request, uint32(len(limitsExtension)))
	request = append(request, limitsExtension...)
	framed := binary.BigEndian.AppendUint32(nil, uint32(len(request)))
	if _, err := w.Write(append(framed, request...)); err != nil {
		return 0, err
	}
	reply, err := readPacket(r)
	if err != nil {
		return 0, err
	}
	if reply[0] != fxpExtendedReply {
		return smallPacket, nil
	}
	if len(reply) < 5+4*8 {
		return 0, errors.New("the server's reply about its limits is too short")
	}
	// Of the packet, of reading, of writing; 0 is one that is not told.
	packet := uint64(largePacket)
	for i := 1; i < 3; i++ {
		if limit := binary.BigEndian.Uint64(reply[5+i*8:]); limit > 0 {
			packet = min(packet, limit)
		}
	}
	return int(packet), nil
}

// swallower keeps the first bytes to itself.
type swallower struct {
	io.WriteCloser
	left int
}

func (s *swallower) Write(b []byte) (int, error) {
	n := min(s.left, len(b))
	s.left -= n
	if n == len(b) {
		return n, nil
	}
	m, err := s.WriteCloser.Write(b[n:])
	return n + m, err
}
