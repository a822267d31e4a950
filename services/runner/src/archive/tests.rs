use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{EntryType, Header};

use super::*;

/// An archive made by hand, so that it can hold what no honest packer writes.
#[derive(Default)]
struct Forged(Vec<u8>);

impl Forged {
    fn entry(mut self, kind: EntryType, name: &str, link: &str, mode: u32, data: &[u8]) -> Self {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_gnu_mut().unwrap().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(data.len() as u64);
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(data);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn file(self, name: &str, data: &str) -> Self {
        self.entry(EntryType::Regular, name, "", 0o644, data.as_bytes())
    }

    fn link(self, name: &str, target: &str) -> Self {
        self.entry(EntryType::Symlink, name, target, 0o777, b"")
    }

    fn hard(self, name: &str, target: &str) -> Self {
        self.entry(EntryType::Link, name, target, 0o644, b"")
    }

    fn zipped(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        let mut zip = GzEncoder::new(Vec::new(), Compression::fast());
        zip.write_all(&self.0).unwrap();
        zip.finish().unwrap()
    }
}

fn record(key: &str, value: &str) -> String {
    let rest = format!(" {key}={value}\n");
    let mut length = rest.len() + 1;
    while length.to_string().len() + rest.len() != length {
        length = length.to_string().len() + rest.len();
    }
    format!("{length}{rest}")
}

fn hostile() -> Vec<(&'static str, Forged)> {
    let new = Forged::default;
    let long = |kind, data: &str| new().entry(kind, "x", "", 0, data.as_bytes());
    vec![
        ("dot dot", new().file("../canary", "x")),
        ("dot dot within", new().file("a/../../canary", "x")),
        ("absolute", new().file("/tmp/tiphys-canary", "x")),
        ("dot dot folder", new().entry(EntryType::Directory, "../canary", "", 0o777, b"")),
        ("absolute link", new().link("l", "/etc/passwd")),
        ("climbing link", new().link("l", "../canary")),
        ("link climbing in the middle", new().file("a/b/f", "x").link("a/l", "b/../../../canary")),
        ("link through a link", new().link("p/q/r", "../..").link("l", "p/q/r/../canary")),
        ("file through a link", new().link("d", ".").file("d/../../canary", "x")),
        ("file below a link", new().link("d", "a").link("d/canary", "x")),
        ("link over a file", new().file("f", "x").link("f", "a")),
        ("hard link out", new().hard("h", "../secret")),
        ("hard link absolute", new().hard("h", "/etc/passwd")),
        ("hard link to nothing", new().hard("h", "nothing")),
        ("hard link to a link", new().link("l", "a").hard("h", "l")),
        ("hard link to a folder", new().entry(EntryType::Directory, "d", "", 0o755, b"").hard("h", "d")),
        ("device", new().entry(EntryType::Char, "null", "", 0o666, b"")),
        ("block device", new().entry(EntryType::Block, "sda", "", 0o666, b"")),
        ("pipe", new().entry(EntryType::Fifo, "pipe", "", 0o666, b"")),
        ("sparse", new().entry(EntryType::GNUSparse, "sparse", "", 0o666, b"")),
        ("folder over a file", new().file("f", "x").file("f/canary", "x")),
        ("file over a folder", new().file("d/f", "x").file("d", "x")),
        ("long name with dot dot", long(EntryType::GNULongName, "../canary\0").file("y", "x")),
        ("long link out", long(EntryType::GNULongLink, "../canary\0").link("y", "x")),
        ("pax name with dot dot", long(EntryType::XHeader, &record("path", "../canary")).file("y", "x")),
        ("pax link out", long(EntryType::XHeader, &record("linkpath", "../canary")).link("y", "x")),
        ("pax absolute", long(EntryType::XHeader, &record("path", "/tmp/tiphys-canary")).file("y", "x")),
        (
            "size beyond the end",
            Forged({
                let mut bytes = new().file("f", &"x".repeat(5000)).0;
                bytes.truncate(512);
                bytes
            }),
        ),
    ]
}

/// Everything below a folder, with modes and link targets.
fn listing(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    names.sort();
    let mut all = Vec::new();
    for path in names {
        let meta = path.symlink_metadata().unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if meta.is_symlink() {
            all.push(format!("{name} -> {}", fs::read_link(&path).unwrap().display()));
        } else if meta.is_dir() {
            all.extend(listing(&path).into_iter().map(|below| format!("{name}/{below}")));
            all.push(format!("{name}/"));
        } else {
            let mode = meta.permissions().mode() & 0o7777;
            all.push(format!("{name} {mode:o} {}", fs::read_to_string(&path).unwrap()));
        }
    }
    all
}

#[test]
fn nothing_hostile_leaves_the_folder() {
    for (what, forged) in hostile() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("secret"), "s").unwrap();
        let into = dir.path().join("into");
        fs::create_dir(&into).unwrap();
        let outcome = unpack(&forged.zipped()[..], &into, Limits::default());
        assert!(outcome.is_err(), "{what} was accepted");
        let around: Vec<_> = listing(dir.path()).into_iter().filter(|n| !n.starts_with("into/")).collect();
        assert_eq!(around, ["secret 644 s"], "{what}");
        assert!(!Path::new("/tmp/tiphys-canary").exists(), "{what}");
    }
}

#[test]
fn honest_links_are_kept_and_modes_are_tamed() {
    let into = tempfile::tempdir().unwrap();
    let forged = Forged::default()
        .entry(EntryType::Directory, "./", "", 0o755, b"")
        .entry(EntryType::Regular, "bin/tool", "", 0o6755, b"t")
        .file("bin/tool2", "old")
        .file("bin/tool2", "new")
        .hard("bin/same", "bin/tool")
        .link("a/b/up", "../../bin/tool")
        .link("here", "bin/./tool")
        .link("dangling", "nowhere");
    unpack(&forged.zipped()[..], into.path(), Limits::default()).unwrap();
    assert_eq!(
        listing(into.path()),
        [
            "a/b/up -> ../../bin/tool",
            "a/b/",
            "a/",
            "bin/same 755 t",
            "bin/tool 755 t",
            "bin/tool2 644 new",
            "bin/",
            "dangling -> nowhere",
            "here -> bin/./tool",
        ]
    );
}

#[test]
fn what_costs_too_much_is_refused() {
    let limits = Limits { entries: 10, bytes: 64 << 20, ratio: 200 };
    let into = || tempfile::tempdir().unwrap();
    let refused = |bytes: &[u8]| match unpack(bytes, into().path(), limits) {
        Err(Refused::TooLarge(what)) => what,
        other => panic!("{other:?}"),
    };
    let many = (0..11).fold(Forged::default(), |all, n| all.file(&n.to_string(), ""));
    assert!(refused(&many.zipped()).contains("too many entries"));
    let zeros = "\0".repeat(40 << 20);
    assert!(refused(&Forged::default().file("zeros", &zeros).zipped()).contains("grows"));
    let noise: String =
        (0..33_u32 << 20).map(|n| char::from(b' ' + (n.wrapping_mul(2_654_435_761) >> 27) as u8)).collect();
    let large = Forged::default().file("a", &noise).file("b", &noise);
    assert!(refused(&large.zipped()).contains("too many bytes"));
    let header = "x".repeat(2 << 20);
    let large = Forged::default().entry(EntryType::GNULongName, "x", "", 0, header.as_bytes()).file("y", "");
    assert!(refused(&large.zipped()).contains("large a header"));
    let small = Forged::default().file("zeros", &"\0".repeat(1 << 20));
    unpack(&small.zipped()[..], into().path(), limits).unwrap();
}

#[test]
fn what_is_no_archive_is_an_error() {
    let into = tempfile::tempdir().unwrap();
    for bytes in [&b""[..], b"plain", &[0x1f, 0x8b], &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1, 2, 3]] {
        assert!(matches!(unpack(bytes, into.path(), Limits::default()), Err(Refused::Io(_))));
    }
    let whole = Forged::default().file("f", &"x".repeat(100_000)).zipped();
    let half = &whole[..whole.len() / 2];
    assert!(unpack(half, into.path(), Limits::default()).is_err());
}

#[test]
fn packing_is_the_same_each_time_and_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let make = |name: &str| {
        let tree = dir.path().join(name).join("tree");
        fs::create_dir_all(tree.join("empty")).unwrap();
        fs::write(tree.join("b"), "bee").unwrap();
        fs::write(tree.join("a"), "").unwrap();
        fs::write(tree.join("n".repeat(200)), "long").unwrap();
        fs::set_permissions(tree.join("b"), fs::Permissions::from_mode(0o750)).unwrap();
        symlink("b", tree.join("link")).unwrap();
        let packed = dir.path().join(format!("{name}.tgz"));
        pack(&tree, &packed).unwrap();
        (tree, fs::read(packed).unwrap())
    };
    let (tree, first) = make("one");
    let (_, second) = make("two");
    assert_eq!(first, second);
    let into = dir.path().join("into");
    fs::create_dir(&into).unwrap();
    unpack(&first[..], &into, Limits::default()).unwrap();
    assert_eq!(listing(&into.join("tree")), listing(&tree));

    let file = dir.path().join("single");
    fs::write(&file, "content").unwrap();
    pack(&file, &dir.path().join("single.tgz")).unwrap();
    let into = dir.path().join("into2");
    fs::create_dir(&into).unwrap();
    unpack(&fs::read(dir.path().join("single.tgz")).unwrap()[..], &into, Limits::default()).unwrap();
    assert_eq!(listing(&into), ["single 644 content"]);
}

/// Name, type and mode, content.
type ZipEntry = (&'static str, u32, &'static str);

/// A zip made by hand.
fn forged_zip(entries: &[ZipEntry]) -> std::io::Cursor<Vec<u8>> {
    use ::zip::write::SimpleFileOptions;
    let mut zip = ::zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, mode, content) in entries {
        let options = SimpleFileOptions::default().unix_permissions(mode & 0o777);
        if mode & 0o170_000 == 0o120_000 {
            zip.add_symlink(*name, *content, options).unwrap();
        } else {
            zip.start_file(*name, options).unwrap();
            zip.write_all(content.as_bytes()).unwrap();
        }
    }
    zip.finish().unwrap()
}

#[test]
fn nothing_in_a_zip_leaves_the_folder() {
    const LINK: u32 = 0o120_777;
    let hostile: &[(&str, &[ZipEntry])] = &[
        ("dot dot", &[("../canary", 0o644, "x")]),
        ("dot dot within", &[("a/../../canary", 0o644, "x")]),
        ("absolute", &[("/tmp/tiphys-canary", 0o644, "x")]),
        ("absolute link", &[("l", LINK, "/etc/passwd")]),
        ("climbing link", &[("l", LINK, "../canary")]),
        ("file below a link", &[("d", LINK, "a"), ("d/canary", 0o644, "x")]),
        ("file over a folder", &[("d/f", 0o644, "x"), ("d", 0o644, "x")]),
        ("folder over a file", &[("f", 0o644, "x"), ("f/canary", 0o644, "x")]),
    ];
    for (what, entries) in hostile {
        let dir = tempfile::tempdir().unwrap();
        let into = dir.path().join("into");
        fs::create_dir(&into).unwrap();
        assert!(unzip(forged_zip(entries), &into, Limits::default()).is_err(), "{what} was accepted");
        assert_eq!(listing(dir.path()).into_iter().find(|name| !name.starts_with("into/")), None, "{what}");
        assert!(!Path::new("/tmp/tiphys-canary").exists(), "{what}");
    }
    let into = tempfile::tempdir().unwrap();
    let cut = forged_zip(&[("f", 0o644, "x")]).into_inner();
    assert!(unzip(std::io::Cursor::new(&cut[..cut.len() / 2]), into.path(), Limits::default()).is_err());
    let few = Limits { entries: 1, ..Limits::default() };
    let two = forged_zip(&[("a", 0o644, "x"), ("b", 0o644, "x")]);
    assert!(matches!(unzip(two, into.path(), few), Err(Refused::TooLarge(_))));
}

#[test]
fn a_zip_that_grows_too_much_is_refused() {
    let (dir, zeros) = (tempfile::tempdir().unwrap(), vec![0; 40 << 20]);
    fs::write(dir.path().join("zeros"), zeros).unwrap();
    let packed = dir.path().join("zeros.zip");
    zip(&dir.path().join("zeros"), &packed).unwrap();
    let into = tempfile::tempdir().unwrap();
    let outcome = unzip(fs::File::open(&packed).unwrap(), into.path(), Limits::default());
    assert!(matches!(outcome, Err(Refused::TooLarge("it grows too much when it is unpacked"))));
}

#[test]
fn each_way_of_packing_brings_a_tree_back() {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("tree");
    fs::create_dir_all(tree.join("empty")).unwrap();
    fs::write(tree.join("b"), "bee").unwrap();
    fs::set_permissions(tree.join("b"), fs::Permissions::from_mode(0o750)).unwrap();
    fs::write(tree.join("long"), "long ".repeat(10_000)).unwrap();
    symlink("b", tree.join("link")).unwrap();
    let into = |name: &str| {
        let into = dir.path().join(name);
        fs::create_dir(&into).unwrap();
        into
    };
    let packed = dir.path().join("packed");
    let (one, two) = (packed.with_extension("1"), packed.with_extension("2"));
    zip(&tree, &one).unwrap();
    zip(&tree, &two).unwrap();
    assert_eq!(fs::read(&one).unwrap(), fs::read(&two).unwrap());
    let zipped = into("zipped");
    unzip(fs::File::open(&one).unwrap(), &zipped, Limits::default()).unwrap();
    assert_eq!(listing(&zipped.join("tree")), listing(&tree));

    let mut sizes = Vec::new();
    for level in [0, 1, 9, 99] {
        pack_at(&tree, &packed, level).unwrap();
        sizes.push(fs::metadata(&packed).unwrap().len());
        let tar = into(&format!("tar-{level}"));
        unpack(fs::File::open(&packed).unwrap(), &tar, Limits::default()).unwrap();
        assert_eq!(listing(&tar.join("tree")), listing(&tree));
    }
    assert!(
        sizes[0] > 50_000 && sizes[1] < 5000 && sizes[2] <= sizes[1] && sizes[2] == sizes[3],
        "{sizes:?}"
    );

    copy(&tree, &dir.path().join("plain")).unwrap();
    let mut plain = listing(&tree);
    plain.retain(|name| !name.starts_with("link"));
    assert_eq!(listing(&dir.path().join("plain")), plain);
}

#[test]
fn a_link_out_of_a_folder_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("tree");
    fs::create_dir_all(tree.join("a/b")).unwrap();
    symlink("../../top", tree.join("a/b/fine")).unwrap();
    check_links(&tree).unwrap();
    symlink("../../../out", tree.join("a/b/bad")).unwrap();
    let refused = check_links(&tree).unwrap_err().to_string();
    assert!(refused.contains("a/b/bad: the link leads outside"), "{refused}");
}

#[test]
fn a_folder_is_known_by_its_head() {
    let folder = tempfile::tempdir().unwrap();
    let (inside, plain, marked) =
        (folder.path().join("inside"), folder.path().join("plain"), folder.path().join("marked"));
    fs::create_dir(&inside).unwrap();
    fs::write(inside.join("a"), "a").unwrap();
    pack(&inside, &plain).unwrap();
    super::pack_folder(&inside, &marked).unwrap();
    assert!(!super::is_folder(&fs::read(&plain).unwrap()));
    assert!(super::is_folder(&fs::read(&marked).unwrap()));
    let again = folder.path().join("again");
    fs::create_dir(&again).unwrap();
    super::unpack(File::open(&marked).unwrap(), &again, super::Limits::default()).unwrap();
    assert_eq!(fs::read(again.join("inside/a")).unwrap(), b"a");
}
