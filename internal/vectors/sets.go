package vectors

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strings"

	"airgap/bundle/image"
	"airgap/internal/forge"
)

// slice is the bytes of a volume but the last.
const slice = 65536

// set adds a vector of several files, of which a command is given the folder or
// one.
func (m *maker) set(name, about, arg string, parts map[string][]byte, code int, phrase string) *Vector {
	m.list = append(m.list, made{
		Vector{Name: name, About: about, Arg: arg, Verify: code, Inspect: code, Serve: code, Unpack: code, Phrase: phrase, Unseen: "it reads whole files: VOLUMES.md and PARITY.md are not FORMAT.md"},
		parts,
	})
	return &m.list[len(m.list)-1].Vector
}

// files are parts as files, after changes.
func files(parts []forge.Part, changes ...func(f map[string][]byte)) map[string][]byte {
	f := map[string][]byte{}
	for _, p := range parts {
		f[p.Name] = p.Bytes()
	}
	for _, change := range changes {
		change(f)
	}
	return f
}

// footer changes the lines of a part's footer, whose sum is right again.
func footer(parts []forge.Part, n int, old, changed string) []forge.Part {
	parts = slices.Clone(parts)
	if !strings.Contains(parts[n].Lines, old) {
		panic(fmt.Sprintf("%q is not in the footer of %s", old, parts[n].Name)) // a mistake here
	}
	parts[n].Lines = strings.Replace(parts[n].Lines, old, changed, 1)
	return parts
}

// sets are volumes and parity.
func (m *maker) sets() {
	b := m.pack(large)
	b.Pack = asWritten
	file, id := b.File(), image.SHA256(b.RawManifest()).Hex
	const name = "b.tar.zst"
	cut := forge.Volumes(name, id, file, slice, 0)
	safe := forge.Volumes(name, id, file, slice, 50) // two shards, one of parity
	last, parity := 1, 2
	m.set("good-volumes", "two volumes", ".", files(cut), sound, "")
	m.set("good-volumes-renamed", "two volumes under other names", ".", files(cut, rename("b.tar.zst.001", "z"), rename("b.tar.zst.002", "a")), sound, "")
	m.set("good-volumes-parity", "two volumes and parity", ".", files(safe), sound, "")
	// What is rebuilt while it is read is as good as any other, and to be mended.
	rebuilt := func(name, about, arg string, parts map[string][]byte, phrase string) {
		m.set("rebuilt-"+name, about, arg, parts, sound, phrase).Verify = damaged
	}
	rebuilt("volume-lost", "of two volumes and parity the last volume is lost", ".", files(safe, lose("b.tar.zst.002")), "missing: 2")
	rebuilt("volume-damaged", "of two volumes and parity a volume has another byte", ".", files(safe, flip("b.tar.zst.001", 30_000)), "damaged: 1")
	rebuilt("parity-end-lost", "a parity file's last block is damaged: the first tells the same", ".", files(safe, flip("b.tar.zst.par", -100)), "parity files missing or damaged: 1")
	m.set("good-volumes-quoted", "volumes of a file whose name has everything that is, and is not, escaped", ".",
		numbered(forge.Volumes(`a \"b\" größe\x09\x7f\xc2\x85`+"\u200b"+`\xff`, id, file, slice, 0)), sound, "")

	b = m.pack(simple)
	one := b.File()
	beside := forge.Volumes(name, image.SHA256(b.RawManifest()).Hex, one, 0, 100)
	with := func(change ...func(map[string][]byte)) map[string][]byte {
		f := files(beside)
		f[name] = one
		for _, c := range change {
			c(f)
		}
		return f
	}
	m.set("good-parity", "a bundle that is not cut, and parity beside it", name, with(), sound, "")
	rebuilt("beside-parity", "a bundle that has another byte behind airgap.json, and parity beside it", name, with(flip(name, -300)), "damaged: 1")
	m.set("parity-too-damaged", "a bundle that has another byte, and parity of which the shard has, too", name, with(flip(name, -300), flip("b.tar.zst.par", 1024+4096+300)), damaged, "")
	m.set("parity-without-tables", "parity without a good page of its table, and a bundle that has another byte", name, with(flip(name, -300), flip("b.tar.zst.par", 1024+100), flip("b.tar.zst.par", -1024-100)), damaged, "")

	incomplete := func(name, about string, parts map[string][]byte, phrase string) {
		m.set(name, about, ".", parts, damaged, phrase)
	}
	incomplete("volume-missing", "the first volume is missing", files(cut, lose("b.tar.zst.001")), "missing: 1")
	incomplete("volume-last-missing", "the last volume is missing", files(cut, lose("b.tar.zst.002")), "the last volume is missing")
	incomplete("volume-short", "a volume that is shorter than its footer says", files(cut, func(f map[string][]byte) {
		v := f["b.tar.zst.001"]
		f["b.tar.zst.001"] = slices.Concat(v[:1000], v[2000:])
	}), "damaged: 1")
	m.set("volume-damaged", "a volume that has another byte, without parity", ".", files(cut, flip("b.tar.zst.001", 30_000)), damaged, "").Inspect = sound
	m.set("volume-of-another-set", "the last volume is of another set: nobody may choose", ".", files(cut[:1], func(f map[string][]byte) {
		p := cut[last]
		set := strings.SplitN(strings.SplitN(p.Lines, "set ", 2)[1], "\n", 2)[0]
		p.Lines = strings.Replace(p.Lines, set, strings.Repeat("0", 32), 1)
		f[p.Name] = p.Bytes()
	}), failed, "holds 2 bundles")
	bad := func(name, about, old, changed string) {
		incomplete("footer-"+name, "a footer "+about, files(footer(cut, last, old, changed)), "the last volume is missing")
	}
	bad("number", "with another number than its offset tells", "number 2", "number 3")
	bad("zeros", "with a number that begins with a zero", "number 2", "number 02")
	bad("sign", "with a number that has a sign", "number 2", "number +2")
	bad("offset", "with an offset that is not the slice's", "offset 65536", "offset 65535")
	bad("total", "of a last volume that ends before the whole does", "total ", "total 1")
	bad("volumes", "of a last volume that is not the last", "volumes 2", "volumes 3")
	bad("slice", "with a slice that is no multiple of 65536", "offset 65536", "offset 32768")
	bad("name", "with the name of a path", `"b.tar.zst"`, `"../b.tar.zst"`)
	bad("quoted-otherwise", "with a name that is escaped where it need not be", `"b.tar.zst"`, `"b\x2etar.zst"`)
	bad("unicode-escape", "with a name that is escaped as Go has it", `"b.tar.zst"`, `"b\u00adtar.zst"`)
	bad("capitals", "with a hash in upper case", "set ", "set A")
	bad("space", "with two spaces", "number 2", "number  2")
	bad("unknown-line", "with a line that nobody knows", "number 2\n", "number 2\nmore 1\n")
	bad("order", "with two lines in the other order", "offset 65536\n", "")
	bad("crlf", "with a line that ends as Windows has it", "number 2\n", "number 2\r\n")
	incomplete("footer-sum", "a footer with another sum", files(cut, flip("b.tar.zst.002", -600)), "the last volume is missing")
	incomplete("footer-padding", "a footer with a space behind its lines", files(cut, func(f map[string][]byte) {
		v := bytes.Clone(f["b.tar.zst.002"])
		v[len(v)-1] = ' '
		f["b.tar.zst.002"] = v
	}), "the last volume is missing")
	m.set("footer-newer", "volumes of version 2", ".", files(footer(footer(cut, 0, "volume 1", "volume 2"), last, "volume 1", "volume 2")), newer, "newer version of airgap")
	later := slices.Clone(cut)
	for i := range later {
		later[i].Lines = "airgap volume 2\nname b.tar.zst\nsealed yes\n"
	}
	m.set("footer-newer-with-other-lines", "volumes of version 2, with lines that nobody knows yet", ".", files(later), newer, "newer version of airgap")
	alone := func(name, about, old, changed string) { // parity that is none, beside two volumes of which one is lost
		incomplete("parity-"+name, "parity "+about+", and a volume is lost", files(footer(safe, parity, old, changed), lose("b.tar.zst.001")), "missing: 1")
	}
	alone("geometry", "of more than 220 shards a group", "parity 1", "parity 219")
	alone("shard", "with shards of another length", "shard 65536", "shard 32768")
	alone("slice", "for slices of no multiple of 65536", "slice 65536", "slice 65537")
	alone("length", "that says it is longer", "length 65536", "length 131072")
	m.streams(one)
}

func rename(from, to string) func(map[string][]byte) {
	return func(f map[string][]byte) { f[to] = f[from]; delete(f, from) }
}

func lose(name string) func(map[string][]byte) {
	return func(f map[string][]byte) {
		if f[name] == nil {
			panic(name + " is not there") // a mistake here
		}
		delete(f, name)
	}
}

// flip changes a byte; at a negative place, from the end.
func flip(name string, at int) func(map[string][]byte) {
	return func(f map[string][]byte) {
		b := bytes.Clone(f[name])
		if at < 0 {
			at += len(b)
		}
		b[at] ^= 0x10
		f[name] = b
	}
}

// numbered are parts under names that every system takes.
func numbered(parts []forge.Part) map[string][]byte {
	f := map[string][]byte{}
	for _, p := range parts {
		f["v"+path.Ext(p.Name)] = p.Bytes()
	}
	return f
}

// streams are packets.
func (m *maker) streams(file []byte) {
	const shard = 512
	n := (len(file) + shard - 1) / shard
	g := forge.Geometry{Size: len(file), Shard: shard, K: (n + 1) / 2, M: 2} // two groups
	packets := g.Packets("stream", file)
	stream := func(name, about string, code int, phrase string, packets ...[]byte) {
		m.list = append(m.list, made{
			Vector{Name: name, About: about, Arg: "-", Unpack: code, Phrase: phrase, Unseen: "it reads files: PARITY.md is not FORMAT.md"},
			map[string][]byte{"bundle.packets": bytes.Join(packets, nil)},
		})
	}
	without := func(lost ...int) (kept [][]byte) {
		for i, p := range packets {
			if !slices.Contains(lost, i) {
				kept = append(kept, p)
			}
		}
		return kept
	}
	other := forge.Geometry{Size: len(file), Shard: shard, K: g.K, M: 2}.Packets("another", bytes.ToUpper(file))
	changed := func(i int, change func(p []byte)) [][]byte {
		list := slices.Clone(packets)
		list[i] = bytes.Clone(list[i])
		change(list[i])
		return list
	}
	all := func(at int, b byte) (list [][]byte) { // which all packets have otherwise
		for _, p := range packets {
			p = bytes.Clone(p)
			p[at] ^= b
			forge.ResealPacket(p)
			list = append(list, p)
		}
		return list
	}
	stream("good-packets", "packets", sound, "", packets...)
	stream("good-packets-lost", "as many packets are lost as can be: two of each group", sound, "", without(0, 1, 2, 5)...)
	backwards := slices.Clone(packets)
	slices.Reverse(backwards)
	stream("good-packets-order", "packets backwards, and each twice", sound, "", append(backwards, packets...)...)
	stream("good-packets-garbage", "bytes of something else between packets, and packets of another stream", sound, "",
		slices.Concat(packets[:3], [][]byte{[]byte("\x89agpkt1\n garbage"), other[0], other[1]}, packets[3:])...)
	stream("good-packets-damaged", "a packet whose shard has another byte: it is rebuilt", sound, "", changed(1, func(p []byte) { p[200] ^= 1 })...)
	stream("packets-too-few", "three packets of one group are lost", damaged, "", without(0, 2, 4)...)
	stream("packets-root", "packets with another root: they do not belong together", damaged, "", all(24, 1)...)
	stream("packets-geometry", "packets of a geometry that there is not", damaged, "", all(53, 0x10)...)
	stream("packets-number", "a packet with a number that there is not, and two lost of its group", damaged, "", slices.Concat(changed(0, func(p []byte) { p[58] = 1; forge.ResealPacket(p) })[:1], without(0, 2, 4))...)
	stream("packets-shard-of-another-place", "two packets of one group have each other's numbers", damaged, "", slices.Concat(
		changed(0, func(p []byte) { p[56] = 2; forge.ResealPacket(p) })[:1], changed(2, func(p []byte) { p[56] = 0; forge.ResealPacket(p) })[2:3], without(0, 2))...)
}

// all makes the vectors.
func all() ([]made, error) {
	m := &maker{}
	m.goodBundles()
	m.badFiles()
	m.badEnds()
	m.badFrames()
	m.badTars()
	m.badManifests()
	m.badDerived()
	m.badGraphs()
	m.sets()
	return m.list, m.err
}
