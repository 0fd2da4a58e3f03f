//! What a kernel may refuse: the second object, `bpf/refused_syn.bpf.o`. [`RefusedSyns`] sees the SYNs that a listener
//! refuses, [`Namespaces`] lists the network namespaces. One without the other: where the first works, the second is not
//! needed.

use super::{ProbeError, REFUSING_FUNCTION as FUNCTION, Ring, take_map};
use crate::config::model::SilentMode;
use crate::silent::SilentSource;
use crate::wire::{TcpDropProcess, TcpDropSilentCounts};
use aya::maps::{MapData, PerCpuArray, RingBuf};
use aya::programs::fentry::FEntryLinkId;
use aya::programs::fexit::FExitLinkId;
use aya::programs::{FEntry, FExit, Iter, ProgramError};
use aya::{Btf, Ebpf, EbpfLoader};
use std::io::{self, Read};
use std::sync::Arc;
use zerocopy::FromBytes;

pub(super) static OBJECT: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("CARGO_MANIFEST_DIR"), "/../bpf/refused_syn.bpf.o"));

const ENTER: &str = "syn_enters";
const LEAVE: &str = "syn_leaves";
const LIST: &str = "list_namespaces";
/// What tasks are listed by.
const TASKS: &str = "task";

/// The programs, and what each is for.
pub(super) const PROGRAMS: [(&str, &str); 3] = [(ENTER, FUNCTION), (LEAVE, FUNCTION), (LIST, TASKS)];

/// How this kernel lets silent drops be seen.
pub(super) enum Silent {
    Programs(RefusedSyns),
    Counters(Option<Namespaces>),
    Off,
}

impl Silent {
    /// The best way that the kernel allows; none is needed for the probe to work.
    pub(super) fn load(mode: SilentMode, btf: &Btf) -> Self {
        if mode == SilentMode::Off {
            return Self::Off;
        }
        let mut object = match EbpfLoader::new().btf(Some(btf)).load(OBJECT) {
            Ok(object) => object,
            Err(error) => {
                tracing::debug!(?error, "programs that are not needed do not fit this kernel");
                return Self::Counters(Some(Namespaces::own_only()));
            }
        };
        if mode == SilentMode::Auto {
            match load_programs(&mut object, btf) {
                Ok(()) => match RefusedSyns::new(object) {
                    Ok(programs) => return Self::Programs(programs),
                    Err(error) => {
                        tracing::debug!(?error, "{FUNCTION} cannot be watched");
                        return Self::Counters(Some(Namespaces::own_only()));
                    }
                },
                Err(error) => tracing::debug!(?error, "{FUNCTION} cannot be watched"),
            }
        }
        Self::Counters(Some(Namespaces::of(object, btf)))
    }

    /// Attaches what has to be. A kernel that took the programs may still not let them be attached.
    pub(super) fn attach(&mut self) {
        if let Self::Programs(programs) = self
            && let Err(error) = programs.attach()
        {
            tracing::warn!(%error, "{FUNCTION} cannot be watched; refused SYNs are told by the namespaces' counters");
            // The kernel's types are not kept for this: they take 10 MiB.
            *self = match Btf::from_sys_fs() {
                Ok(btf) => Self::load(SilentMode::Netstat, &btf),
                Err(_) => Self::Counters(Some(Namespaces::own_only())),
            };
        }
    }

    pub(super) fn detach(&mut self) {
        if let Self::Programs(programs) = self
            && let Err(error) = programs.detach()
        {
            tracing::warn!(%error, "{FUNCTION} is still watched");
        }
    }

    pub(super) fn source(&self) -> SilentSource {
        match self {
            Self::Programs(_) => SilentSource::Fexit,
            Self::Counters(_) => SilentSource::Netstat,
            Self::Off => SilentSource::None,
        }
    }
}

/// Programs around the function that decides on a SYN.
pub(super) struct RefusedSyns {
    ebpf: Ebpf,
    links: Option<(FEntryLinkId, FExitLinkId)>,
    ring: Option<RingBuf<MapData>>,
    counts: RefusalCounts,
}

impl RefusedSyns {
    /// Of an object whose programs are loaded.
    fn new(mut ebpf: Ebpf) -> Result<Self, ProbeError> {
        let counts = PerCpuArray::try_from(take_map(&mut ebpf, "refused_counts")?)?;
        Ok(Self {
            links: None,
            ring: Some(RingBuf::try_from(take_map(&mut ebpf, "refused_ring")?)?),
            counts: RefusalCounts(Arc::new(counts)),
            ebpf,
        })
    }

    /// The second first: what it has not seen enter it does not tell.
    fn attach(&mut self) -> Result<(), ProgramError> {
        if self.links.is_some() {
            return Ok(());
        }
        let leave = leave(&mut self.ebpf)?.attach()?;
        match enter(&mut self.ebpf)?.attach() {
            Ok(enter) => self.links = Some((enter, leave)),
            Err(error) => {
                self::leave(&mut self.ebpf)?.detach(leave)?;
                return Err(error);
            }
        }
        Ok(())
    }

    fn detach(&mut self) -> Result<(), ProgramError> {
        let Some((enter_link, leave_link)) = self.links.take() else { return Ok(()) };
        enter(&mut self.ebpf)?.detach(enter_link)?;
        leave(&mut self.ebpf)?.detach(leave_link)
    }

    pub(super) fn take_ring(&mut self) -> io::Result<Option<Ring>> {
        self.ring.take().map(Ring::new).transpose()
    }

    pub(super) fn counts(&self) -> RefusalCounts {
        self.counts.clone()
    }
}

fn load_programs(ebpf: &mut Ebpf, btf: &Btf) -> Result<(), ProgramError> {
    enter(ebpf)?.load(FUNCTION, btf)?;
    leave(ebpf)?.load(FUNCTION, btf)
}

fn enter(ebpf: &mut Ebpf) -> Result<&mut FEntry, ProgramError> {
    ebpf.program_mut(ENTER).ok_or(ProgramError::NotLoaded)?.try_into()
}

fn leave(ebpf: &mut Ebpf) -> Result<&mut FExit, ProgramError> {
    ebpf.program_mut(LEAVE).ok_or(ProgramError::NotLoaded)?.try_into()
}

// SAFETY: repr(C), integers only, no padding.
unsafe impl aya::Pod for TcpDropSilentCounts {}

/// What the programs counted. Stays readable after they were detached.
#[derive(Clone)]
pub struct RefusalCounts(Arc<PerCpuArray<MapData, TcpDropSilentCounts>>);

/// Refused SYNs, by the place of their counter in [`crate::silent::SilentCounter::ALL`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refusals {
    /// All of them.
    pub refused: [u64; 3],
    /// Those for which no event was sent.
    pub untold: [u64; 3],
}

impl RefusalCounts {
    /// The counts now.
    ///
    /// # Errors
    /// If the kernel does not let them be read.
    pub fn read(&self) -> Result<Refusals, ProbeError> {
        let mut sums = Refusals::default();
        for cpu in self.0.get(&0, 0)?.iter() {
            for index in 0..sums.refused.len() {
                sums.refused[index] += cpu.refused[index + 1];
                sums.untold[index] += cpu.untold[index + 1];
            }
        }
        Ok(sums)
    }
}

/// A process and its network namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessNamespace {
    /// Its id, as this process sees it.
    pub pid: u32,
    /// Inode of the namespace.
    pub inode: u32,
    /// The namespace's cookie; 0 where the kernel has none.
    pub cookie: u64,
}

/// Lists processes with their network namespaces. A BPF iterator does it with the probe's own rights; reading
/// `/proc/PID/ns/net` of other users' processes takes `CAP_SYS_PTRACE`.
pub struct Namespaces {
    /// `None`: the kernel has no such iterator, and the agent's own namespace is all that is known.
    ebpf: Option<Ebpf>,
    own: ProcessNamespace,
}

impl Namespaces {
    fn of(mut object: Ebpf, btf: &Btf) -> Self {
        match list(&mut object).and_then(|program| program.load(TASKS, btf)) {
            Ok(()) => Self { ebpf: Some(object), ..Self::own_only() },
            Err(error) => {
                tracing::debug!(?error, "tasks cannot be listed");
                Self::own_only()
            }
        }
    }

    fn own_only() -> Self {
        let inode = super::current_netns().unwrap_or(0);
        Self { ebpf: None, own: ProcessNamespace { pid: std::process::id(), inode, cookie: 0 } }
    }

    /// Each process once.
    ///
    /// # Errors
    /// If the kernel does not let them be listed.
    pub fn list(&mut self) -> io::Result<Vec<ProcessNamespace>> {
        let Some(ebpf) = &mut self.ebpf else { return Ok(vec![self.own]) };
        let mut bytes = Vec::new();
        let program = list(ebpf).map_err(io::Error::other)?;
        let link = program.attach().map_err(io::Error::other)?;
        let link = program.take_link(link).map_err(io::Error::other)?;
        link.into_file().map_err(io::Error::other)?.read_to_end(&mut bytes)?;
        let processes = bytes.as_chunks::<{ size_of::<TcpDropProcess>() }>().0.iter();
        let process = |bytes: &[u8; size_of::<TcpDropProcess>()]| {
            let process = TcpDropProcess::read_from_bytes(bytes).ok()?;
            Some(ProcessNamespace {
                pid: process.pid,
                inode: process.netns_inode,
                cookie: process.netns_cookie,
            })
        };
        Ok(processes.filter_map(process).collect())
    }
}

fn list(ebpf: &mut Ebpf) -> Result<&mut Iter, ProgramError> {
    ebpf.program_mut(LIST).ok_or(ProgramError::NotLoaded)?.try_into()
}
