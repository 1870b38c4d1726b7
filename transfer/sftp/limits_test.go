package sftp

import (
	"bytes"
	"encoding/binary"
	"io"
	"testing"
)

// framed is a packet with its length, of bytes, numbers and strings.
func framed(parts ...any) []byte {
	var b []byte
	for _, part := range parts {
		switch part := part.(type) {
		case byte:
			b = append(b, part)
		case uint32:
			b = binary.BigEndian.AppendUint32(b, part)
		case uint64:
			b = binary.BigEndian.AppendUint64(b, part)
		case string:
			b = append(binary.BigEndian.AppendUint32(b, uint32(len(part))), part...)
		}
	}
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)
}

type sink struct{ bytes.Buffer }

func (*sink) Close() error { return nil }

// TestIntroduce asks servers for their limits, and repeats their greeting to
// the client.
func TestIntroduce(t *testing.T) {
	plain := framed(byte(fxpVersion), uint32(3), "other@example.org", "1")
	offer := framed(byte(fxpVersion), uint32(3), "other@example.org", "1", limitsExtension, "1")
	told := func(read, write uint64) []byte {
		return framed(byte(fxpExtendedReply), uint32(0), uint64(1<<18), read, write, uint64(0))
	}
	for name, c := range map[string]struct {
		greeting, reply []byte
		packet          int // 0: an error
		asked           bool
	}{
		"does not tell":         {plain, nil, smallPacket, false},
		"OpenSSH":               {offer, told(261120, 261120), largePacket, true},
		"no limit":              {offer, told(0, 0), largePacket, true},
		"writes less":           {offer, told(261120, 16<<10), 16 << 10, true},
		"reads less":            {offer, told(100_000, 261120), 100_000, true},
		"tells and refuses":     {offer, framed(byte(101), uint32(0), uint32(8), "no", ""), smallPacket, true},
		"reply is too short":    {offer, framed(byte(fxpExtendedReply), uint32(0), uint64(1)), 0, true},
		"reply is cut":          {offer, told(0, 0)[:20], 0, true},
		"prints a greeting":     {[]byte("Welcome to the host!\n"), nil, 0, false},
		"greeting is cut":       {offer[:9], nil, 0, false},
		"greeting is of no use": {framed(byte(fxpVersion)), nil, smallPacket, false},
		"extension is cut":      {framed(byte(fxpVersion), uint32(3), uint32(1<<31)), nil, smallPacket, false},
	} {
		t.Run(name, func(t *testing.T) {
			var sent sink
			packet, r, w, err := introduce(bytes.NewReader(append(bytes.Clone(c.greeting), c.reply...)), &sent)
			if packet != c.packet || (err != nil) != (c.packet == 0) {
				t.Fatalf("packets of %d bytes, %v", packet, err)
			}
			if asked := bytes.Contains(sent.Bytes(), []byte(limitsExtension)); asked != c.asked {
				t.Errorf("asked: %v", asked)
			}
			if err != nil {
				return
			}
			if again, err := io.ReadAll(r); err != nil || !bytes.Equal(again, c.greeting) {
				t.Errorf("the client reads %q, %v", again, err)
			}
			sent.Reset()
			for _, part := range [][]byte{{0, 0, 0}, {5, 1, 0, 0, 0, 3, 'a'}, []byte("bc")} { // its own greeting, and more
				if n, err := w.Write(part); n != len(part) || err != nil {
					t.Errorf("%d bytes written of %d, %v", n, len(part), err)
				}
			}
			if sent.String() != "abc" {
				t.Errorf("sent %q", sent.String())
			}
		})
	}
}

// FuzzIntroduce reads what any server says.
func FuzzIntroduce(f *testing.F) {
	offer := framed(byte(fxpVersion), uint32(3), limitsExtension, "1")
	f.Add(offer)
	f.Add(append(bytes.Clone(offer), framed(byte(fxpExtendedReply), uint32(0), uint64(1<<18), uint64(261120), uint64(261120), uint64(0))...))
	f.Add(append(bytes.Clone(offer), framed(byte(101), uint32(0), uint32(8), "no", "")...))
	f.Fuzz(func(t *testing.T, said []byte) {
		packet, _, _, err := introduce(bytes.NewReader(said), &sink{})
		if err == nil && (packet < 1 || packet > largePacket) {
			t.Errorf("packets of %d bytes", packet)
		}
	})
}
