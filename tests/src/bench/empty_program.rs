//! A BPF program that does nothing, on the hook of the agent's: what any program there costs at least.

use aya::programs::BtfTracePoint;
use aya::{Btf, Ebpf};
use object::write::{Object, Symbol, SymbolSection};
use object::{Architecture, BinaryFormat, Endianness, SectionKind, SymbolFlags, SymbolKind, SymbolScope};

const NAME: &str = "empty";

/// Attached until dropped.
#[derive(Debug)]
pub struct EmptyProgram {
    _program: Ebpf,
    /// Its id in the kernel.
    pub id: u32,
}

impl EmptyProgram {
    /// Loads and attaches it.
    ///
    /// # Errors
    /// Without the rights, or where the kernel has no BTF.
    pub fn attach() -> Result<Self, Box<dyn std::error::Error>> {
        let mut loaded = Ebpf::load(&object()?)?;
        let program: &mut BtfTracePoint = loaded.program_mut(NAME).ok_or("no such program")?.try_into()?;
        program.load("kfree_skb", &Btf::from_sys_fs()?)?;
        program.attach()?;
        let id = program.info()?.id();
        Ok(Self { _program: loaded, id })
    }
}

/// As a compiler would give it for `SEC("tp_btf/kfree_skb") int empty(void *ctx) { return 0; }`.
fn object() -> Result<Vec<u8>, object::write::Error> {
    // r0 = 0; exit (Documentation/bpf/standardization/instruction-set.rst)
    const INSTRUCTIONS: [u8; 16] = [0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0];
    let mut object = Object::new(BinaryFormat::Elf, Architecture::Bpf, Endianness::Little);
    let code = object.add_section(Vec::new(), b"tp_btf/kfree_skb".to_vec(), SectionKind::Text);
    object.append_section_data(code, &INSTRUCTIONS, 8);
    object.add_symbol(Symbol {
        name: NAME.into(),
        value: 0,
        size: INSTRUCTIONS.len() as u64,
        kind: SymbolKind::Text,
        scope: SymbolScope::Dynamic,
        weak: false,
        section: SymbolSection::Section(code),
        flags: SymbolFlags::None,
    });
    let license = object.add_section(Vec::new(), b"license".to_vec(), SectionKind::Data);
    object.append_section_data(license, b"GPL\0", 1);
    object.write()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::cost::{RunTimeStatistics, Runs};
    use crate::netns::connect_refused;
    use crate::{ports, require};
    use std::net::{Ipv4Addr, SocketAddr};

    #[test]
    fn it_runs_for_each_drop() {
        require!(Root, Btf);
        let program = EmptyProgram::attach().expect("attach the program");
        let _statistics = RunTimeStatistics::enable().expect("enable statistics");
        let before = Runs::read().expect("read statistics");
        for _ in 0..10 {
            connect_refused(SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free())));
        }
        let run = Runs::read().expect("read statistics").busiest_since(&before, &[program.id]);
        assert!(run.is_some_and(|run| run.count >= 10 && run.mean() > 0.0), "{run:?}");
    }
}
