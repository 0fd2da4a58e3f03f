use super::*;
use std::collections::BTreeMap;

/// Builds BTF: types by hand, strings by name.
#[derive(Default)]
struct Builder {
    types: Vec<u8>,
    strings: Vec<u8>,
    /// Bytes of strings that a split BTF continues.
    strings_before: usize,
}

impl Builder {
    /// Of a module's BTF, which continues `kernel`.
    fn split(kernel: &Btf) -> Self {
        Self { strings_before: kernel.strings.len(), ..Self::default() }
    }

    fn name(&mut self, name: &str) -> u32 {
        if self.strings.is_empty() && self.strings_before == 0 {
            self.strings.push(0);
        }
        if name.is_empty() {
            return 0;
        }
        let offset = self.strings_before + self.strings.len();
        self.strings.extend_from_slice(name.as_bytes());
        self.strings.push(0);
        u32::try_from(offset).unwrap()
    }

    fn ty(&mut self, name: &str, kind: u32, members: u32, size_or_id: u32, body: &[u32]) -> &mut Self {
        let name = self.name(name);
        for word in [name, kind << 24 | members, size_or_id].iter().chain(body) {
            self.types.extend_from_slice(&word.to_ne_bytes());
        }
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let types = u32::try_from(self.types.len()).unwrap();
        let strings = u32::try_from(self.strings.len()).unwrap();
        let mut bytes = MAGIC.to_ne_bytes().to_vec();
        bytes.extend_from_slice(&[1, 0]);
        for word in [24, 0, types, types, strings] {
            bytes.extend_from_slice(&u32::to_ne_bytes(word));
        }
        bytes.extend_from_slice(&self.types);
        bytes.extend_from_slice(&self.strings);
        bytes
    }
}

fn sample() -> Vec<u8> {
    let mut builder = Builder::default();
    let a = builder.name("SKB_DROP_REASON_NOT_SPECIFIED");
    let b = builder.name("SKB_DROP_REASON_NO_SOCKET");
    let consumed = builder.name("SKB_CONSUMED");
    let max = builder.name("SKB_DROP_REASON_MAX");
    let mask = builder.name("SKB_DROP_REASON_SUBSYS_MASK");
    let first = builder.name("first");
    let second = builder.name("second");
    builder
        .ty("u16", 1, 0, 2, &[16]) // 1
        .ty("", 3, 0, 0, &[1, 1, 5]) // 2: u16[5]
        .ty("pair", 4, 2, 16, &[first, 5, 0, second, 2, 32]) // 3
        .ty("skb_drop_reason", 6, 0, 4, &[]) // 4: declared
        .ty("alias", 8, 0, 1, &[]) // 5: of u16
        .ty("skb_drop_reason", 6, 5, 4, &[consumed, 1, a, 2, b, 3, max, 4, mask, 0xffff_0000]) // 6
        .ty("", 13, 3, 0, &[0, 1, 0, 1, 0, 1]) // 7
        .ty("", 2, 0, 7, &[]) // 8: pointer to it
        .ty("hook", 8, 0, 8, &[]) // 9
        .ty("circle", 8, 0, 10, &[]) // 10: of itself
        .ty("wide", 19, 1, 8, &[a, 1, 2]); // 11
    builder.bytes()
}

#[test]
fn reasons_are_those_that_a_dropped_packet_can_have() {
    let btf = Btf::parse(sample()).unwrap();
    let expected = [(2, "NOT_SPECIFIED".to_owned()), (3, "NO_SOCKET".to_owned())];
    assert_eq!(reasons::of_core(&btf), BTreeMap::from(expected));
}

/// A kernel with two subsystems, one of which is built in.
fn kernel_with_subsystems() -> Arc<Btf> {
    let mut builder = Builder::default();
    let core = builder.name("SKB_DROP_REASON_SUBSYS_CORE");
    let ovs = builder.name("SKB_DROP_REASON_SUBSYS_OPENVSWITCH");
    let qdisc = builder.name("SKB_DROP_REASON_SUBSYS_QDISC");
    let num = builder.name("SKB_DROP_REASON_SUBSYS_NUM");
    let mask = builder.name("SKB_DROP_REASON_SUBSYS_MASK");
    let unspecified = builder.name("QDISC_DROP_UNSPEC");
    let start = builder.name("__QDISC_DROP_REASON");
    let generic = builder.name("QDISC_DROP_GENERIC");
    let max = builder.name("QDISC_DROP_MAX");
    builder
        .ty("skb_drop_reason", 6, 1, 4, &[mask, 0xffff_0000])
        .ty("skb_drop_reason_subsys", 6, 4, 4, &[core, 0, ovs, 2, qdisc, 3, num, 4])
        .ty(
            "qdisc_drop_reason",
            6,
            4,
            4,
            &[unspecified, 0, start, 0x3_0000, generic, 0x3_0001, max, 0x3_0002],
        );
    Arc::new(Btf::parse(builder.bytes()).unwrap())
}

/// The BTF of a module, whose enum takes one name from the kernel's strings.
fn module(kernel: &Btf) -> Vec<u8> {
    let mut builder = Builder::split(kernel);
    let start = builder.name("__OVS_DROP_REASON");
    let meter = builder.name("OVS_DROP_METER");
    let foreign = builder.name("OTHER_DROP_SUBSYSTEM");
    let shared =
        kernel.bytes[kernel.strings.clone()].windows(18).position(|name| name == b"QDISC_DROP_GENERIC");
    let shared = u32::try_from(shared.unwrap()).unwrap();
    let values = [start, 0x2_0000, meter, 0x2_0001, shared, 0x2_0002, foreign, 0x9_0001];
    builder.ty("ovs_drop_reason", 6, 4, 4, &values).ty("u8", 1, 0, 1, &[8]).ty("alias", 8, 0, 5, &[]);
    builder.bytes()
}

#[test]
fn reasons_of_subsystems_are_named_after_them() {
    let kernel = kernel_with_subsystems();
    let subsystems = reasons::subsystems(&kernel);
    let expected = [(2, "OPENVSWITCH".to_owned()), (3, "QDISC".to_owned())];
    assert_eq!(subsystems, BTreeMap::from(expected));
    let built_in = [(0x3_0001, "QDISC_GENERIC".to_owned())];
    assert_eq!(reasons::of_subsystems(&kernel, &subsystems), BTreeMap::from(built_in));
    assert_eq!(reasons::of_core(&kernel), BTreeMap::new());

    let module = Btf::parse_split(module(&kernel), &kernel).unwrap();
    let loaded = [(0x2_0001, "OPENVSWITCH_METER".to_owned()), (0x2_0002, "OPENVSWITCH_GENERIC".to_owned())];
    assert_eq!(reasons::of_subsystems(&module, &subsystems), BTreeMap::from(loaded));
}

#[test]
fn ids_of_a_split_btf_go_on_after_the_kernels() {
    let kernel = kernel_with_subsystems();
    let module = Btf::parse_split(module(&kernel), &kernel).unwrap();
    assert_eq!(
        module.size_of(5),
        Some(1),
        "the second of its own, after three of the kernel and one of its own"
    );
    assert_eq!(module.size_of(6), Some(1), "an alias of it");
    for outside in [0, 1, 3, 7, u32::MAX] {
        assert_eq!(module.size_of(outside), None);
    }
}

#[test]
fn a_damaged_module_is_refused_or_read_without_panic() {
    let kernel = kernel_with_subsystems();
    let whole = module(&kernel);
    let subsystems = reasons::subsystems(&kernel);
    for position in 0..whole.len() {
        for value in [0, 1, 0x7f, 0xff] {
            let mut bytes = whole.clone();
            bytes[position] = value;
            if let Ok(btf) = Btf::parse_split(bytes, &kernel) {
                let _ = (reasons::of_subsystems(&btf, &subsystems), btf.size_of(5), btf.size_of(6));
            }
        }
        assert!(Btf::parse_split(whole[..position].to_vec(), &kernel).is_err());
    }
}

#[test]
fn members_of_a_struct_have_their_offsets_and_sizes() {
    let btf = Btf::parse(sample()).unwrap();
    let members = btf.struct_members("pair").unwrap();
    let member = |name: &str, offset, size| Member { name: name.to_owned(), offset, size: Some(size) };
    assert_eq!(members, [member("first", 0, 2), member("second", 4, 10)]);
    assert_eq!(btf.struct_size("pair"), Some(16));
    assert_eq!(btf.struct_members("absent"), None);
}

#[test]
fn parameters_are_counted_behind_a_typedef_of_a_pointer() {
    let btf = Btf::parse(sample()).unwrap();
    assert_eq!(btf.parameter_count("hook"), Some(3));
    assert_eq!(btf.parameter_count("alias"), None);
}

#[test]
fn a_function_has_an_id_and_what_only_shares_its_name_has_none() {
    let mut builder = Builder::default();
    builder.ty("", 13, 0, 0, &[]).ty("name", 8, 0, 1, &[]);
    builder.ty("name", 12, 0, 1, &[]).ty("other", 12, 0, 1, &[]);
    let btf = Btf::parse(builder.bytes()).unwrap();
    assert_eq!((btf.function_id("name"), btf.function_id("other")), (Some(3), Some(4)));
    assert_eq!(btf.function_id("absent"), None);
}

#[test]
fn a_circle_of_types_ends() {
    let btf = Btf::parse(sample()).unwrap();
    assert_eq!(btf.parameter_count("circle"), None);
    assert_eq!(btf.size_of(10), None);
}

#[test]
fn wide_enums_have_both_halves() {
    let btf = Btf::parse(sample()).unwrap();
    assert_eq!(btf.enum_members("wide").unwrap()[0].1, 0x2_0000_0001);
}

#[test]
fn foreign_bytes_are_refused() {
    assert!(matches!(Btf::parse(Vec::new()), Err(BtfError::Magic)));
    assert!(matches!(Btf::parse(vec![0xeb, 0x9f, 1, 0]), Err(BtfError::Magic)));
    let bytes = sample();
    for length in 2..bytes.len() {
        assert!(Btf::parse(bytes[..length].to_vec()).is_err(), "{length} bytes");
    }
}

#[test]
fn no_bytes_make_it_panic_or_hang() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 8).unwrap()
    };
    let mut parsed = 0;
    for _ in 0..20_000 {
        let mut bytes = sample();
        for _ in 0..=random() % 3 {
            let position = random() % bytes.len();
            bytes[position] = random().to_le_bytes()[0];
        }
        let Ok(btf) = Btf::parse(bytes) else { continue };
        parsed += 1;
        let _ = (reasons::of_core(&btf), btf.struct_members("pair"), btf.parameter_count("hook"));
        let _ = (btf.enum_members("wide"), btf.parameter_count("circle"), btf.struct_size("pair"));
    }
    assert!(parsed > 1000, "the damage should leave some readable: {parsed}");
}

#[test]
fn this_kernels_reasons_are_read_where_it_shows_them() {
    let Ok(btf) = Btf::of_kernel() else {
        println!("skipped: no {KERNEL_BTF}");
        return;
    };
    let Some(count) = btf.parameter_count("btf_trace_kfree_skb") else {
        panic!("the tracepoint is part of every kernel with networking");
    };
    let names = reasons::of_core(&btf);
    assert_eq!(names.values().any(|name| name == "NO_SOCKET"), count >= 4, "{names:?}");
}
