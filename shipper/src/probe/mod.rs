//! The kernel side: loads `bpf/tcp_drop.bpf.o`, attaches it to the tracepoint `kfree_skb`, and hands out what it fills.
//!
//! The parts can live in different tasks: [`Ring`] has the events, [`Counters`] the counts, [`OwnPorts`] tells the
//! program what traffic is the agent's own. At the end: [`Probe::detach`], drain the ring, read the counters; then they
//! are exact.

mod admission;
mod cast;
mod counters;
mod cpus;
mod error;
mod filters;
mod own_ports;
mod refused_syn;
mod ring;
mod variant;
pub mod verifier;

pub use admission::Admission;
pub use counters::{Counters, SiteCount};
pub use error::ProbeError;
pub use filters::Filters;
pub use own_ports::OwnPorts;
pub use refused_syn::{Namespaces, ProcessNamespace, RefusalCounts};
pub use ring::Ring;
pub use variant::Capabilities;

use crate::btf::Btf;
use crate::config::model;
use crate::filter::{Filter, FilterReport};
use crate::reasons::names::ReasonNames;
use crate::silent::SilentSource;
use crate::stack::{Boundaries, KernelFunctions};
use aya::maps::{MapData, RingBuf};
use aya::programs::{
    BtfTracePoint, FEntry, ProgramError, ProgramFd, fentry::FEntryLinkId, tp_btf::BtfTracePointLinkId,
};
use aya::{Ebpf, EbpfLoader};
use cpus::Cpus;
use error::Step;
use refused_syn::Silent;
use rustix::thread::{MembarrierCommand, membarrier};
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use variant::Variant;

static OBJECT: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("CARGO_MANIFEST_DIR"), "/../bpf/tcp_drop.bpf.o"));

const TRACEPOINT: &str = "kfree_skb";

/// Decides on each SYN, and refuses it without a word at the tracepoint (net/ipv4/tcp_input.c).
pub const REFUSING_FUNCTION: &str = "tcp_conn_request";

/// Frees past the tracepoint on kernels without reasons.
const DROP_FUNCTION: &str = "tcp_drop";
const DROP_FUNCTION_PROGRAM: &str = "tcp_drop_entry";
/// Frees a merged packet's parts with it, whatever became of it: the location of their events from Linux 6.3 on.
const PART_FREE_FUNCTION: &str = "skb_release_data";
/// Frees lists of packets, and of such parts before that: the first from Linux 6.0 on, the other before.
const LIST_FREE_FUNCTION: &str = "kfree_skb_list_reason";
const OLD_LIST_FREE_FUNCTION: &str = "kfree_skb_list";

/// Name of the program for kernels whose tracepoint has `parameters`, `__data` included.
pub fn program_for(parameters: usize) -> Option<&'static str> {
    Variant::for_parameters(parameters).map(|variant| variant.program)
}

/// The program in the kernel and its maps.
pub struct Probe {
    ebpf: Ebpf,
    variant: Variant,
    capabilities: Capabilities,
    link: Option<BtfTracePointLinkId>,
    function_link: Option<FEntryLinkId>,
    ring: Option<RingBuf<MapData>>,
    counters: Counters,
    own_ports: OwnPorts,
    filters: Filters,
    admission: Admission,
    reason_names: ReasonNames,
    boundaries: Arc<Boundaries>,
    silent: Silent,
}

impl Probe {
    /// Loads the program for the running kernel, not attached yet.
    ///
    /// # Errors
    /// If the process lacks the rights or the memory, the kernel shows no BTF, is too old, or refuses the program.
    pub fn load(settings: &model::Probe) -> Result<Self, ProbeError> {
        Self::load_serving(settings, None)
    }

    /// The same for an agent that serves its status at `status`: drops of that traffic are its own.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_serving(settings: &model::Probe, status: Option<SocketAddr>) -> Result<Self, ProbeError> {
        let kernel_btf = Arc::new(Btf::of_kernel().map_err(ProbeError::Btf)?);
        let variant = kernel_btf
            .parameter_count(&format!("btf_trace_{TRACEPOINT}"))
            .and_then(Variant::for_parameters)
            .ok_or_else(ProbeError::too_old)?;
        let reason_names = ReasonNames::of_kernel(&kernel_btf);
        let cast = cast::function_id(&kernel_btf);
        drop(kernel_btf);

        let aya_btf = aya::Btf::from_sys_fs().map_err(|error| ProbeError::of_load(error.into(), settings))?;
        let agent_netns = current_netns().map_err(ProbeError::Namespace)?;
        let functions = kernel_functions();
        let (part_free, list_free) = freeing_functions(&functions, variant);
        let plan = Plan { settings, status, variant, agent_netns, part_free, list_free, btf: &aya_btf };
        let mut ebpf = plan.load(cast)?;
        let mut programs = vec![descriptor(program(&mut ebpf, variant)?.fd())?];
        let mut capabilities = variant.capabilities();
        if !variant.has_reason {
            let function_program = function_program(&mut ebpf)?;
            match function_program.load(DROP_FUNCTION, &aya_btf) {
                Ok(()) => {
                    programs.push(descriptor(function_program.fd())?);
                    capabilities.socket_drops = true;
                }
                Err(error) => tracing::debug!(%error, "{DROP_FUNCTION} cannot be watched"),
            }
        }

        let silent = Silent::load(settings.silent, &aya_btf);
        capabilities.refused_syns = silent.source();

        let cpus = Cpus::new(&take_map(&mut ebpf, cpus::MAP)?)?;
        Ok(Self {
            variant,
            capabilities,
            link: None,
            function_link: None,
            ring: Some(RingBuf::try_from(take_map(&mut ebpf, "ring")?)?),
            counters: Counters::new(cpus, programs, variant.has_reason),
            own_ports: OwnPorts::new(&mut ebpf, agent_netns, status)?,
            filters: Filters::new(&mut ebpf, reason_names.clone(), agent_netns)?,
            admission: Admission::new(&mut ebpf)?,
            reason_names,
            boundaries: Arc::new(functions.boundaries),
            silent,
            ebpf,
        })
    }

    /// Attaches the program: from here on drops are seen. Does nothing if it is attached.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn attach(&mut self) -> Result<(), ProbeError> {
        if self.link.is_none() {
            let attached = program(&mut self.ebpf, self.variant)?.attach();
            self.link = Some(attached.map_err(|error| ProbeError::of_program(error, Step::Attach))?);
        }
        if self.watches_function() && self.function_link.is_none() {
            let attached = function_program(&mut self.ebpf)?.attach();
            self.function_link = Some(attached.map_err(|error| ProbeError::of_program(error, Step::Attach))?);
        }
        self.silent.attach();
        Ok(())
    }

    /// How SYNs are seen that the tracepoint does not tell. Known for sure once the probe is attached.
    pub fn silent_source(&self) -> SilentSource {
        self.silent.source()
    }

    /// The events of refused SYNs, once; `None` where none are sent.
    ///
    /// # Errors
    /// If the ring cannot be polled.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O.
    pub fn take_silent_ring(&mut self) -> Result<Option<Ring>, ProbeError> {
        match &mut self.silent {
            Silent::Programs(programs) => programs.take_ring().map_err(ProbeError::FileDescriptor),
            Silent::Counters(_) | Silent::Off => Ok(None),
        }
    }

    /// The counts of refused SYNs, where each is seen.
    pub fn refusal_counts(&self) -> Option<RefusalCounts> {
        match &self.silent {
            Silent::Programs(programs) => Some(programs.counts()),
            Silent::Counters(_) | Silent::Off => None,
        }
    }

    /// The network namespaces whose counters have to be read, once; `None` where refused SYNs are seen, or not wanted.
    pub fn take_namespaces(&mut self) -> Option<Namespaces> {
        match &mut self.silent {
            Silent::Counters(namespaces) => namespaces.take(),
            Silent::Programs(_) | Silent::Off => None,
        }
    }

    /// Detaches the program: once it returns, no event is under way. Ring and counters stay readable.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn detach(&mut self) -> Result<(), ProbeError> {
        self.silent.detach();
        if let Some(link) = self.function_link.take() {
            let detached = function_program(&mut self.ebpf)?.detach(link);
            detached.map_err(|error| ProbeError::of_program(error, Step::Detach))?;
        }
        let Some(link) = self.link.take() else { return Ok(()) };
        let detached = program(&mut self.ebpf, self.variant)?.detach(link);
        detached.map_err(|error| ProbeError::of_program(error, Step::Detach))?;
        wait_for_programs();
        Ok(())
    }

    /// The events, once: `None` when they were taken before.
    ///
    /// # Errors
    /// If the ring cannot be polled.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O.
    pub fn take_ring(&mut self) -> Result<Option<Ring>, ProbeError> {
        self.ring.take().map(Ring::new).transpose().map_err(ProbeError::FileDescriptor)
    }

    /// The counts.
    pub fn counters(&self) -> Counters {
        self.counters.clone()
    }

    /// The register of the agent's own ports.
    pub fn own_ports(&self) -> OwnPorts {
        self.own_ports.clone()
    }

    /// Sets which drops are wanted; without it, all are. Also while the program is attached.
    ///
    /// # Errors
    /// See [`Filters::set`].
    pub fn set_filter(&self, filter: &Filter) -> Result<FilterReport, ProbeError> {
        self.filters.set(filter)
    }

    /// Changes the filter from elsewhere.
    pub fn filters(&self) -> Filters {
        self.filters.clone()
    }

    /// Sets how many drops are described; without it, all are. Also while the program is attached.
    ///
    /// # Errors
    /// See [`Admission::set`].
    pub fn set_admission(&self, settings: &model::Admission) -> Result<(), ProbeError> {
        self.admission.set(settings)
    }

    /// Changes the budget from elsewhere.
    pub fn admission(&self) -> Admission {
        self.admission.clone()
    }

    /// Name of the program that was chosen for this kernel.
    pub fn program_name(&self) -> &'static str {
        self.variant.program
    }

    /// Instructions that the verifier looked at when the program was loaded: what a start costs most. Kernels tell it from
    /// 5.16 on.
    pub fn verified_instructions(&self) -> Option<u32> {
        let program: &BtfTracePoint = self.ebpf.program(self.variant.program)?.try_into().ok()?;
        program.info().ok()?.verified_instruction_count()
    }

    /// What this kernel lets the probe tell.
    pub fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn watches_function(&self) -> bool {
        !self.variant.has_reason && self.capabilities.socket_drops
    }

    /// This kernel's drop reasons, by number.
    pub fn reason_names(&self) -> &ReasonNames {
        &self.reason_names
    }

    /// Where this kernel's stacks are cut.
    pub fn boundaries(&self) -> &Arc<Boundaries> {
        &self.boundaries
    }
}

/// What the program is loaded with.
struct Plan<'a> {
    settings: &'a model::Probe,
    status: Option<SocketAddr>,
    variant: Variant,
    agent_netns: u32,
    part_free: Range<u64>,
    list_free: Range<u64>,
    btf: &'a aya::Btf,
}

impl Plan<'_> {
    /// The object with its program loaded, by way of the kernel function `cast` if there is one and the kernel lets programs
    /// call it: it needs the JIT compiler.
    fn load(&self, cast: Option<u32>) -> Result<Ebpf, ProbeError> {
        if cast.is_some() {
            match self.load_one(cast) {
                Err(ProbeError::Refused { error, log }) => {
                    tracing::debug!(%error, log, "packets are read by helper");
                }
                done => return done,
            }
        }
        self.load_one(None)
    }

    fn load_one(&self, cast: Option<u32>) -> Result<Ebpf, ProbeError> {
        let settings = self.settings;
        let (status_port, status_ip_version, status_address) = status_globals(self.status);
        let Self { part_free, list_free, .. } = self;
        let mut ebpf = EbpfLoader::new()
            .btf(Some(self.btf))
            .override_global("agent_netns", &self.agent_netns, true)
            .override_global("has_cast", &u8::from(cast.is_some()), true)
            .override_global("stack_depth", &u32::from(settings.stack_depth), true)
            .override_global("ring_bytes", &u64::from(settings.ring_bytes), true)
            .override_global("status_port", &status_port, true)
            .override_global("status_ip_version", &status_ip_version, true)
            .override_global("status_address", &status_address, true)
            .override_global("part_free_start", &part_free.start, true)
            .override_global("part_free_end", &part_free.end, true)
            .override_global("list_free_start", &list_free.start, true)
            .override_global("list_free_end", &list_free.end, true)
            .map_max_entries("ring", settings.ring_bytes)
            .map_max_entries(cpus::MAP, cpus::count()?)
            .load(&cast::fitted(OBJECT, cast))
            .map_err(|error| ProbeError::of_load(error, settings))?;
        let loaded = program(&mut ebpf, self.variant)?.load(TRACEPOINT, self.btf);
        loaded.map_err(|error| ProbeError::of_program(error, Step::Load))?;
        Ok(ebpf)
    }
}

/// Returns when no program runs any more that was running now. They run under RCU, and this command waits for a grace
/// period (kernel/sched/membarrier.c). Kernels with nohz_full lack it: there one that began microseconds ago may go on.
fn wait_for_programs() {
    let _ = membarrier(MembarrierCommand::Global);
}

fn program(ebpf: &mut Ebpf, variant: Variant) -> Result<&mut BtfTracePoint, ProbeError> {
    let program = ebpf.program_mut(variant.program).ok_or(ProbeError::Object(variant.program))?;
    program.try_into().map_err(|_| ProbeError::Object(variant.program))
}

fn function_program(ebpf: &mut Ebpf) -> Result<&mut FEntry, ProbeError> {
    let program = ebpf.program_mut(DROP_FUNCTION_PROGRAM).ok_or(ProbeError::Object(DROP_FUNCTION_PROGRAM))?;
    program.try_into().map_err(|_| ProbeError::Object(DROP_FUNCTION_PROGRAM))
}

/// A descriptor of a loaded program that outlives its handle.
fn descriptor(program: Result<&ProgramFd, ProgramError>) -> Result<OwnedFd, ProbeError> {
    let program = program.map_err(|error| ProbeError::of_program(error, Step::Load))?;
    program.as_fd().try_clone_to_owned().map_err(ProbeError::FileDescriptor)
}

/// Where stacks are cut, and packets freed; nothing where symbols cannot be read.
fn kernel_functions() -> KernelFunctions {
    KernelFunctions::of_kernel(&[PART_FREE_FUNCTION, LIST_FREE_FUNCTION, OLD_LIST_FREE_FUNCTION])
        .unwrap_or_else(|error| {
            tracing::debug!(%error, "kernel symbols cannot be read");
            KernelFunctions::default()
        })
}

/// Where parts of merged packets are freed: the functions that tell, as far as they do.
fn freeing_functions(functions: &KernelFunctions, variant: Variant) -> (Range<u64>, Range<u64>) {
    let part = if variant.has_reason { functions.range_of(PART_FREE_FUNCTION) } else { 0..0 };
    if variant.has_receiving_socket {
        return (part, 0..0);
    }
    let list = functions.range_of(LIST_FREE_FUNCTION);
    (part, if list.is_empty() { functions.range_of(OLD_LIST_FREE_FUNCTION) } else { list })
}

fn take_map(ebpf: &mut Ebpf, name: &'static str) -> Result<aya::maps::Map, ProbeError> {
    ebpf.take_map(name).ok_or(ProbeError::Object(name))
}

/// Port, IP version and address as the program compares them; version 0 stands for any address.
fn status_globals(status: Option<SocketAddr>) -> (u16, u8, [u8; 16]) {
    let mut bytes = [0; 16];
    let Some(status) = status else { return (0, 0, bytes) };
    let version = match status.ip() {
        ip if ip.is_unspecified() => 0,
        IpAddr::V4(ip) => {
            bytes[..4].copy_from_slice(&ip.octets());
            4
        }
        IpAddr::V6(ip) => {
            bytes = ip.octets();
            6
        }
    };
    (status.port(), version, bytes)
}

/// Inode of this thread's network namespace.
fn current_netns() -> std::io::Result<u32> {
    let inode = std::fs::metadata("/proc/thread-self/ns/net")?.ino();
    u32::try_from(inode).map_err(std::io::Error::other)
}
