//! calm: who shouts is heard in a normal voice. A message whose letters are capitals for the most part
//! becomes one of small letters, in any script that has them: what Rust's standard library knows of
//! Unicode. Built against nothing but the headers, whose structs it says again:
//!
//!     rustc -O --crate-type cdylib --edition 2018 -C panic=abort -o calm.so calm.rs
//!
//! A struct that begins with its size may be declared as far as it is used: this plugin says how much
//! of `chatup_plugin` it fills, and reads of `chatup_host` and `chatup_event` what it declares here.
#![allow(non_camel_case_types)]
use std::os::raw::{c_char, c_void};
use std::{mem, ptr, slice, str};

#[repr(C)]
#[derive(Clone, Copy)]
pub struct chatup_text {
    at: *const c_char,
    length: usize,
}

#[repr(C)]
pub struct chatup_event {
    size: u32,
    flags: u32,
    room: chatup_text,
    id: chatup_text,
    sub: chatup_text,
    name: chatup_text,
    user: chatup_text,
    msg: chatup_text,
}

#[repr(C)]
pub struct chatup_value {
    number: i64,
    text: chatup_text,
    items: *const chatup_value,
    count: u32,
}

#[repr(C)]
pub struct chatup_host {
    size: u32,
    this: *mut c_void,
    log: extern "C" fn(*mut c_void, i32, *const c_char, usize),
    option: extern "C" fn(*mut c_void, u32) -> chatup_value,
    refuse: extern "C" fn(*mut c_void, u32, *const c_char, usize),
    service: extern "C" fn(*mut c_void, *const c_char) -> *const c_void,
    count: extern "C" fn(*mut c_void, u32, u64),
    set_msg: extern "C" fn(*mut chatup_event, *const c_char, usize) -> i32,
}

#[repr(C)]
struct chatup_option {
    name: *const c_char,
    kind: i32,
    flags: u32,
    preset: *const c_char,
    help: *const c_char,
    min: i64,
    max: i64,
    children: *const chatup_option,
    child_count: u32,
    choices: *const *const c_char,
}

/// As far as message_in.
#[repr(C)]
pub struct chatup_plugin {
    size: u32,
    flags: u32,
    name: *const c_char,
    version: *const c_char,
    summary: *const c_char,
    options: *const chatup_option,
    option_count: u32,
    route_count: u32,
    routes: *const c_void,
    counters: *const c_void,
    counter_count: u32,
    reserved: u32,
    needs: *const *const c_char,
    create: extern "C" fn(*const chatup_host) -> *mut c_void,
    destroy: extern "C" fn(*mut c_void),
    shard_open: *const c_void,
    shard_close: *const c_void,
    message_in: extern "C" fn(*mut c_void, *mut chatup_event) -> i32,
    rest: [*const c_void; 10],
}

const CHATUP_ACCEPT: i32 = 0;
const CHATUP_INT: i32 = 1;

/// What create returns: all loops share it, and nobody changes it.
struct Calm {
    host: *const chatup_host,
    letters: usize,
}

extern "C" fn create(host: *const chatup_host) -> *mut c_void {
    let letters = unsafe { ((*host).option)((*host).this, 0).number as usize };
    Box::into_raw(Box::new(Calm { host, letters })) as *mut c_void
}

extern "C" fn destroy(calm: *mut c_void) {
    drop(unsafe { Box::from_raw(calm as *mut Calm) });
}

/// The text in small letters, if it is shouted.
fn calmed(text: &str, letters: usize) -> Option<String> {
    let capitals = text.chars().filter(|c| c.is_uppercase()).count();
    let small = text.chars().filter(|c| c.is_lowercase()).count();
    if capitals >= letters && capitals > 2 * small {
        Some(text.to_lowercase())
    } else {
        None
    }
}

extern "C" fn message_in(shard: *mut c_void, event: *mut chatup_event) -> i32 {
    let (calm, msg) = unsafe { (&*(shard as *const Calm), (*event).msg) };
    if msg.at.is_null() {
        return CHATUP_ACCEPT;
    }
    // The host has checked that it is UTF-8.
    let text = unsafe { str::from_utf8_unchecked(slice::from_raw_parts(msg.at.cast(), msg.length)) };
    if let Some(quiet) = calmed(text, calm.letters) {
        // A small letter may have more bytes than its capital: then the text may become too long, and
        // stays as it is.
        let _ = unsafe { ((*calm.host).set_msg)(event, quiet.as_ptr().cast(), quiet.len()) };
    }
    CHATUP_ACCEPT
}

const fn text(bytes: &'static [u8]) -> *const c_char {
    bytes.as_ptr() as *const c_char
}

struct Static<T>(T);
unsafe impl<T> Sync for Static<T> {} // never written

static OPTIONS: Static<chatup_option> = Static(chatup_option {
    name: text(b"letters\0"),
    kind: CHATUP_INT,
    flags: 0,
    preset: text(b"4\0"),
    help: text(b"so many capitals at least are shouting\0"),
    min: 1,
    max: 1000,
    children: ptr::null(),
    child_count: 0,
    choices: ptr::null(),
});

static PLUGIN: Static<chatup_plugin> = Static(chatup_plugin {
    size: mem::size_of::<chatup_plugin>() as u32,
    flags: 0,
    name: text(b"calm\0"),
    version: text(b"1.0\0"),
    summary: text(b"who shouts is heard in a normal voice\0"),
    options: &OPTIONS.0,
    option_count: 1,
    route_count: 0,
    routes: ptr::null(),
    counters: ptr::null(),
    counter_count: 0,
    reserved: 0,
    needs: ptr::null(),
    create,
    destroy,
    shard_open: ptr::null(),
    shard_close: ptr::null(),
    message_in,
    rest: [ptr::null(); 10],
});

#[no_mangle]
pub extern "C" fn chatup_plugin_v1() -> *const chatup_plugin {
    &PLUGIN.0
}
