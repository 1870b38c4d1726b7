#!/usr/bin/env python3
"""reader.py FILE...: proves bundles by bundle/FORMAT.md alone, whose sections the comments name. Exit status: 0 sound,
3 damaged or no bundle, 1 it needs a newer reader. Whoever runs it needs the zstd command, and memory for the largest layer."""
import gzip, hashlib, json, os, re, subprocess, sys, tempfile
FRAME, MAX_FRAME, OWN, OCI, DOCKER = 0xFD2FB528, 4 << 20, 64 << 10, "application/vnd.oci.image.", "application/vnd.docker."
INDEXES, MANIFESTS = {OCI + "index.v1+json", DOCKER + "distribution.manifest.list.v2+json"}, {OCI + "manifest.v1+json", DOCKER + "distribution.manifest.v2+json"}
CONFIGS = {OCI + "config.v1+json", DOCKER + "container.image.v1+json"}
LAYERS = {OCI + "layer." + kind for kind in ("v1.tar", "v1.tar+gzip", "v1.tar+zstd", "nondistributable.v1.tar", "nondistributable.v1.tar+gzip")} | {
    DOCKER + "image.rootfs." + kind for kind in ("diff.tar", "diff.tar.gzip", "diff.tar.zstd", "foreign.diff.tar.gzip")}
LABEL, WORD, DIGEST = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?", r"[a-z0-9]+", r"sha256:[0-9a-f]{64}"
DOMAIN, PATH = rf"(?:{LABEL}(?:\.{LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?", rf"{WORD}(?:(?:\.|_|__|-+|/){WORD})*"
PART = r"(?!\.\.?(?:/|$))[^\x00-\x1f\x7f-\x9f\\:/]+"
class Newer(Exception): pass
class Pairs(list): pass
def need(ok, why):
    if not ok: raise ValueError(why)
def number(b): return int.from_bytes(b, "little")
def path(digest): return "blobs/sha256/" + digest[7:]
def encode(v, **form):  # 1, "canonical form"; 2, "the three documents"
    text = json.dumps(v, ensure_ascii=False, **(form or {"separators": (",", ":")}))
    return text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029").encode()
def header(name, size, kind=b"0"):  # 2
    if size >= 8 << 30:
        record = b"%d size=%d\n" % (9 + len(str(size)), size)
        return header("PaxHeaders/" + name, len(record), b"x") + record.ljust(512, b"\0") + header(name, 0)
    b = name.encode().ljust(100, b"\0") + b"0000644\x000000000\x000000000\x00%011o\x00%011o\x00        " % (size, 0)
    b = ((b + kind).ljust(257, b"\0") + b"ustar\x0000").ljust(329, b"\0") + b"0000000\x000000000"
    return (b[:148] + b"%06o\0 " % sum(b) + b[156:]).ljust(512, b"\0")
def one_frame(f, packed, content):  # 3: exactly one frame is here, of that length and that content
    begin, b = f.tell(), f.read(18)
    need(number(b[:4]) == FRAME and b[4] & 0x0C == 4, "frame: magic, reserved bit or checksum")
    single, ids, at = b[4] & 0x20, (0, 1, 2, 4)[b[4] & 3], 5 if b[4] & 0x20 else 6
    n = (1 if single else 0, 2, 4, 8)[b[4] >> 6]
    need(n > 0 and number(b[at + ids:at + ids + n]) + (256 if n == 2 else 0) == content, "frame: content size")
    need(number(b[at:at + ids]) == 0 and (single or (1 << 10 + (b[5] >> 3)) // 8 * (8 + (b[5] & 7)) <= MAX_FRAME), "frame: dictionary or window")
    f.seek(begin + at + ids + n)
    block = 0
    while not block & 1 and f.tell() < begin + packed:
        block = number(f.read(3))
        f.seek(1 if block >> 1 & 3 == 1 else block >> 3, 1)
    need(f.seek(4, 1) == begin + packed, "frame: longer or shorter than its row")
def check_file(f, cuts):  # 3: the seek table, that each of its rows is one frame, and the trailer
    n, contents, h = len(cuts), [b - a for a, b in zip(cuts, cuts[1:])] + [0], hashlib.sha256()
    start = f.seek(0, 2) - (8 * n + 17)
    f.seek(max(0, start))
    table = f.read()
    rows = [number(table[8 + 8 * i:12 + 8 * i]) for i in range(n)]
    want = [0x184D2A5E, 8 * n + 9] + [x for row in zip(rows, contents) for x in row] + [n]
    need(table == b"".join(x.to_bytes(4, "little") for x in want) + b"\0\xb1\xea\x92\x8f" and rows[-1] == 48 and sum(rows) == start, "seek table")
    f.seek(0)
    for packed, content in zip(rows[:-1], contents): one_frame(f, packed, content)
    f.seek(0)
    for at in range(0, start - 48, 1 << 20): h.update(f.read(min(1 << 20, start - 48 - at)))
    need(f.read(48) == b"\x5a\x2a\x4d\x18\x28\0\0\0airgap/1" + h.digest(), "trailer")
def cuts_of(entries, own):  # 3: where frames begin and end; the first own entries have theirs for themselves
    cuts, at = [0], 0
    for i, (name, size, _) in enumerate(entries + [("the end", 0, "")]):
        begin = at + len(header(name, size))
        at = begin + size + -size % 512
        for to in (at,) if i < own else (begin, begin + size) if size >= OWN else (at + 512,) if i == len(entries) else ():
            while cuts[-1] < to: cuts.append(min(cuts[-1] + MAX_FRAME, to))
    return cuts
def diff_id(layer):  # 4
    if layer[:2] == b"\x1f\x8b":
        layer = gzip.decompress(layer)
    elif number(layer[:4]) == FRAME or number(layer[:4]) & ~15 == 0x184D2A50:
        layer = subprocess.run(["zstd", "-dcq", "--long=27"], input=layer, capture_output=True, check=True).stdout
    return "sha256:" + hashlib.sha256(layer).hexdigest()
def check_name(name, root):  # 1, "Names"
    m = re.fullmatch(rf"([^/]+)/([^:@]+)(:[a-zA-Z0-9_][a-zA-Z0-9_.-]{{0,127}}|@{DIGEST})", name)
    need(m and (m[1] == "localhost" or m[1] != "index.docker.io" and re.search("[.:A-Z]", m[1])) and (m[3][0] == ":" or m[3][1:] == root), f"name {name}")
    rest = m[2] if re.fullmatch(DOMAIN, m[1]) else m[1] + "/" + m[2]
    need(re.fullmatch(PATH, rest) and len(rest) <= 255 and (m[1] != "docker.io" or "/" in rest), f"name {name}")
def familiar(name): return re.sub("^library/([^/]*)$", r"\1", name[10:]) if name.startswith("docker.io/") else name
def fold(k): return re.sub("[A-Z]", lambda m: m[0].lower(), k).replace("\u017f", "s").replace("\u212a", "k")
def tidy(v, depth=0, fold=fold):  # 4: no member twice, not nested too deep; names as they are found
    need(not isinstance(v, list) or depth < 32, "document: too deep")
    if isinstance(v, Pairs):
        need(len({fold(k) for k, _ in v}) == len(v), "document: a member twice")
        return {fold(k): tidy(x, depth + 1, str if k in ("annotations", "Labels", "ExposedPorts", "Volumes") else globals()["fold"]) for k, x in v}
    return [tidy(x, depth + 1) for x in v] if isinstance(v, list) else v
def member(o, name, kind, default=None):
    need(type(o) is dict and type(o.get(fold(name))) in (kind, type(None)), f"type of {name}")
    return default if o.get(fold(name)) is None else o[fold(name)]
def descriptor(o):
    d = member(o, "mediaType", str, ""), member(o, "digest", str, ""), member(o, "size", int, 0)
    need(re.fullmatch(DIGEST, d[1]) and d[2] >= 0, "descriptor")
    return d
def walk(root, sizes, content):  # 4: the documents that an image consists of, what else it does, its manifests, and how many uses that is
    docs, others, manifests, seen, uses = {}, {}, [], set(), [0]
    def give(d, to):
        need(sizes.get(d[1]) == d[2], f"{d[1]}: not there, or of another size")
        to[d[1]] = d[2]
    def document(d):
        give(d, docs)
        text = content(d[1]).decode()
        values = 1 + sum(map(re.sub(r'(?s)"(?:\\.|[^"\\])*"', "", text).count, "{[,"))
        need(text.lstrip(" \t\r\n")[:1] == "{" and d[2] <= 4 << 20 and values <= 262144, f"{d[1]}: no object, or too large")
        return tidy(json.loads(text, object_pairs_hook=Pairs, parse_constant=int))
    def step(d, depth):
        doc = document(d)
        types, is_index = {"manifests": list, "config": dict, "layers": list, "mediaType": str, "subject": dict, "artifactType": str, "annotations": dict}, member(doc, "manifests", list) is not None
        children, config, layers, own, subject, *_ = (member(doc, name, kind) for name, kind in types.items())
        need(depth <= 8 and is_index == (config is layers is None) and (is_index or config is not None), f"{d[1]}: neither index nor manifest, or both")
        need((own in ("", None, d[0]) or not d[0]) and d[0] not in (MANIFESTS if is_index else INDEXES) and len(children or []) <= 4096, f"{d[1]}: media type, or too many")
        need(member(doc, "schemaVersion", int, 2) != 1 and "fslayers" not in doc and (subject is None or descriptor(subject)) and not d[0].startswith(DOCKER + "distribution.manifest.v1"), f"{d[1]}: schema 1, or subject")
        for child in map(descriptor, children or []):
            uses[0] += child[1] not in sizes
            if child[1] in sizes and child[1] not in seen:
                seen.add(child[1])
                step(child, depth + 1)
        is_index or manifest(d[1], descriptor(config), [descriptor(l) for l in layers or []])
    def manifest(digest, config, layers):
        says, ids, platform = document(config) if config[0] in CONFIGS else give(config, others), [], None
        for l in layers: give(l, others)
        if config[0] in CONFIGS:
            ids, is_image = member(member(says, "rootfs", dict, {}), "diff_ids", list, []), all(l[0] in LAYERS for l in layers)
            need((not is_image or len(ids) == len(layers)) and all(re.fullmatch(DIGEST, i) for i in ids), f"{config[1]}: diffIDs")
            parts = [sign + member(says, k, str, "") for sign, k in (("", "os"), ("/", "architecture"), ("/", "variant"), (":", "os.version"))]
            ids, platform = (ids, parts[0] and parts[0] + "".join(p for p in parts[1:] if len(p) > 1)) if is_image else ([], None)
        uses[0] += 2 + len(layers)
        manifests.append((({"platform": platform} if platform else {}) | {"manifest": digest, "config": config[1], "diffIDs": ids}, platform, [l[1] for l in layers]))
    step(root, 0)
    return docs, others, manifests, uses[0]
def images_of(m, sizes, content):  # 1 and 2: airgap.json as the images and files give it
    docs, others, walks, files, roots = {}, {}, {}, m["files"], [(i.get("name", ""), (i["root"]["mediaType"], i["root"]["digest"], i["root"]["size"])) for i in m["images"]]
    names = [name for name, _ in roots if name]
    need(roots and len(set(names)) == len(names) and roots == sorted(set(roots), key=lambda r: (r[0].encode(), r[1][1])), "images: order")
    for name, root in roots:
        name and check_name(name, root[1])
        walks[root] = walks.get(root) or walk(root, sizes, content)
        docs, others = docs | walks[root][0], others | walks[root][1]
    need(all(w[2] for w in walks.values()) and sum(w[3] for w in walks.values()) <= 131072 and sum(docs.values()) <= 64 << 20, "images: nothing carried, or too large")
    names, modes = [f["name"] for f in files], any("mode" in f for f in files)
    need(names == sorted(set(names), key=str.encode) and not any(n[:i.start()] in names for n in names for i in re.finditer("/", n)), "files: order")
    need(all(re.fullmatch(f"{PART}(?:/{PART})*", n) and len(n.encode()) <= 1024 and max(map(len, n.encode().split(b"/"))) <= 255 for n in names), "files: name")
    need(all(re.fullmatch("0[0-7]{3}", f["mode"]) if modes else type(f["executable"]) is bool for f in files), "files: mode")
    index = [{"mediaType": r[0], "digest": r[1], "size": r[2]} | ({"annotations": {"io.containerd.image.name": n, "org.opencontainers.image.ref.name": n}} if n else {}) for n, r in roots]
    derived = [("oci-layout", encode({"imageLayoutVersion": "1.0.0"})), ("index.json", encode({"schemaVersion": 2, "mediaType": OCI + "index.v1+json", "manifests": index}))]
    runs = [(name, {p: (item, layers) for item, p, layers in reversed(walks[root][2]) if p is not None}) for name, root in roots]
    common, elements = [set(has) for _, has in runs if has], {}
    for platform in sorted(set.intersection(*common) if common else [], key=lambda p: (p != "linux/amd64", p.encode()))[:1]:
        for name, (item, layers) in [(name, has[platform]) for name, has in runs if has]:
            e = elements.setdefault(item["config"], {"Config": path(item["config"]), "RepoTags": None, "Layers": list(map(path, layers))})
            e["RepoTags"] = (e["RepoTags"] or []) + [familiar(name)] if name and "@" not in name else e["RepoTags"]
        derived.append(("manifest.json", encode(list(elements.values()))))
    need(all(len(c) <= 16 << 20 for _, c in derived), "documents for other tools: too large")
    blobs = list(docs | others | {f["digest"]: 0 for f in files})
    entries = [(n, len(c), hashlib.sha256(c).hexdigest()) for n, c in derived] + [(path(d), sizes[d], d[7:]) for d in blobs]
    return [w[2] for w in walks.values()], {
        "format": 1, "requires": (["file-modes"] if modes else []) + (["names-by-digest"] if any("@" in n for n, _ in roots) else []),
        "images": [({"name": n} if n else {}) | {"root": {"mediaType": r[0], "digest": r[1], "size": r[2]}, "manifests": [item for item, _, _ in walks[r][2]]} for n, r in roots],
        "files": [{k: f[k] for k in ("name", "mode" if modes else "executable", "digest")} for f in files],
        "blobs": [{"digest": d, "size": sizes[d], "stored": "as-is", "entry": path(d)} for d in blobs],
        "entries": [{"name": n, "size": size, "sha256": digest} for n, size, digest in entries], "size": sum(e[1] for e in entries)}
def prove(name):
    file, spool, at, sizes = open(name, "rb"), tempfile.TemporaryFile(), {}, {}
    packed = number(file.read(4)) == FRAME
    zstd = packed and subprocess.Popen(["zstd", "-dcq"], stdin=open(name, "rb"), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    tar = zstd.stdout if packed else open(name, "rb")
    def take(n, then=0):
        b = tar.read(n + then)
        need(len(b) == n + then and not any(b[n:]), "cut short, or bytes that should be zero")
        return b[:n]
    def document(head, name, most):
        size = int(head[124:135], 8)
        need(head == header(name, size) and size <= most, f"{name}: header")
        return take(size, -size % 512)
    content = lambda digest: spool.seek(at[digest]) * 0 or spool.read(sizes[digest])
    raw = document(take(512), "airgap.json", 32 << 20)
    m, head, entries = json.loads(raw.decode()), take(512), [("airgap.json", len(raw), "")]
    if m["format"] > 1 or set(m["requires"]) - {"file-modes", "names-by-digest"}: raise Newer("it needs a newer reader")
    if head[:100].rstrip(b"\0") == b"airgap.json.sig":
        entries, head = entries + [("airgap.json.sig", len(document(head, "airgap.json.sig", 1 << 20)), "")], take(512)
    first, entries = len(entries), entries + [(e["name"], e["size"], e["sha256"]) for e in m["entries"]]
    need(all(type(e[1]) is int and e[1] >= 0 for e in entries) and sum(e[1] for e in entries[first:]) <= 16 << 40 and len(entries) - first <= 100000, "entries: sizes")
    cuts = cuts_of(entries, first)
    check_file(file, cuts) if packed else need(os.fstat(file.fileno()).st_size == cuts[-1], "size of the tar")
    for name, size, digest in entries[first:]:
        want, h, at["sha256:" + digest] = header(name, size), hashlib.sha256(), spool.tell()
        need(head + take(len(want) - len(head)) == want, f"{name}: header")
        for chunk in (take(min(1 << 20, size - at)) for at in range(0, size, 1 << 20)):
            h.update(chunk)
            spool.write(chunk) if chunk.count(0) < len(chunk) else spool.seek(len(chunk), 1)
        need(h.hexdigest() == digest, f"{name}: sha256")
        head, sizes["sha256:" + digest] = take(0, -size % 512), size
    need(not any(head) and take(0, 1024 - len(head)) == tar.read(1) and (not zstd or zstd.wait() == 0), "end of the tar")
    spool.truncate()
    images, want = images_of(m, sizes, content)
    need(encode(want, indent=1) + b"\n" == raw, "airgap.json is not what the images and files give")
    for item, platform, layers in sum(images, []):
        need(platform is None or [diff_id(content(l)) for l in layers] == item["diffIDs"], f"{item['manifest']}: a layer has not its diffID")
def status(name):
    try:
        return prove(name) or (0, "sound")
    except Exception as e:  # whatever does not fit is damage
        return 1 if type(e) is Newer else 3, f"{type(e).__name__}: {e}"
results = [(*status(name), name) for name in sys.argv[1:]]
for code, why, name in results: print(f"{name}: {code}, {why}")
sys.exit(max(results)[0])
