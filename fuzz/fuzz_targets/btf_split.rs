#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| tcpdrop_otel::fuzzing::btf_split(data));
