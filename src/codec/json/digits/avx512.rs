//! With vectors of 64 bytes, and no step for a single number: all that a number needs is worked out at each byte of the text, and what
//! stands at the commas is kept.
//!
//! Needs AVX-512 with the instructions that squeeze bytes together (VBMI2): Intel since Ice Lake, AMD since Zen 4.

use bytes::BytesMut;
use std::arch::x86_64::{
    __m512i, _mm_setr_epi8, _mm512_add_epi8, _mm512_adds_epu8, _mm512_broadcast_i32x4,
    _mm512_cmpeq_epi8_mask, _mm512_cmple_epu8_mask, _mm512_cmpneq_epi8_mask, _mm512_loadu_si512,
    _mm512_mask_mov_epi8, _mm512_maskz_adds_epu8, _mm512_maskz_compress_epi8, _mm512_maskz_loadu_epi8,
    _mm512_maskz_mov_epi8, _mm512_movepi8_mask, _mm512_permutex2var_epi8, _mm512_permutexvar_epi32,
    _mm512_set1_epi8, _mm512_setr_epi32, _mm512_setzero_si512, _mm512_shuffle_epi8, _mm512_storeu_si512,
    _mm512_sub_epi8, _mm512_test_epi8_mask, _mm512_unpackhi_epi8, _mm512_unpackhi_epi16,
    _mm512_unpacklo_epi8, _mm512_unpacklo_epi16,
};
use std::mem::MaybeUninit;
use std::sync::LazyLock;

/// Proof that the processor has what this module needs: without one, none of it can be called.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx512(());

impl Avx512 {
    #[inline]
    pub(super) fn here() -> Option<Self> {
        static HERE: LazyLock<bool> = LazyLock::new(|| {
            is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512vbmi")
                && is_x86_feature_detected!("avx512vbmi2")
                && is_x86_feature_detected!("bmi1")
                && is_x86_feature_detected!("bmi2")
                && is_x86_feature_detected!("popcnt")
        });
        HERE.then_some(Self(()))
    }

    /// Appends each byte's text and a comma.
    pub(super) fn write(self, payload: &[u8], out: &mut BytesMut) {
        // SAFETY: `self` exists only where `here` has found every feature that the function enables.
        unsafe { write(payload, out) }
    }

    /// Reads an array with this many spaces after each comma, from behind its opening bracket: how many bytes of text that took.
    pub(super) fn read<const SPACES: usize>(self, text: &[u8], out: &mut BytesMut) -> Option<usize> {
        // SAFETY: as above.
        unsafe { read::<SPACES>(text, out) }
    }
}

/// The digits of all bytes, of hundreds, of tens and of ones: 0 where a number has none.
static DIGITS: [[[u8; 64]; 4]; 3] = [digits(100), digits(10), digits(1)];

const fn digits(unit: usize) -> [[u8; 64]; 4] {
    let mut digits = [[0; 64]; 4];
    let mut number = if unit == 1 { 0 } else { unit };
    while number < 256 {
        digits[number / 64][number % 64] = b'0' + (number / unit % 10) as u8;
        number += 1;
    }
    digits
}

#[target_feature(enable = "avx512bw,avx512vl,avx512vbmi,avx512vbmi2,bmi1,bmi2,popcnt")]
fn write(payload: &[u8], out: &mut BytesMut) {
    // A number takes four bytes at most; and whatever is kept of sixteen, 64 bytes are written.
    out.reserve(4 * payload.len() + 64);
    let (len, room) = (out.len(), out.spare_capacity_mut());
    let (whole, rest) = payload.as_chunks::<64>();
    let mut at = 0;
    for numbers in whole {
        at = write_64(load_64(numbers), 64, room, at);
    }
    if !rest.is_empty() {
        at = write_64(load(rest), rest.len(), room, at);
    }
    // SAFETY: `put` has found this much room, and has written all that it counts: each call goes on where the one before has ended.
    unsafe { out.set_len(len + at) };
}

/// Writes the text of the first `count` numbers to `room`, from `at` on, and returns where it ends.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512vbmi,avx512vbmi2,bmi1,bmi2,popcnt")]
fn write_64(numbers: __m512i, count: usize, room: &mut [MaybeUninit<u8>], at: usize) -> usize {
    // What follows mixes vectors lane by lane: numbers in this order come out in their own.
    let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    let numbers = _mm512_permutexvar_epi32(order, numbers);
    // An instruction looks up in half of a table; the bytes of most payloads are text, and never in the upper one.
    let large = _mm512_movepi8_mask(numbers);
    let [hundreds, tens, ones] = DIGITS.each_ref().map(|[a, b, c, d]| {
        let digits = _mm512_permutex2var_epi8(load_64(a), numbers, load_64(b));
        if large == 0 {
            return digits;
        }
        let upper = _mm512_permutex2var_epi8(load_64(c), numbers, load_64(d));
        _mm512_mask_mov_epi8(digits, large, upper)
    });
    let commas = _mm512_set1_epi8(b',' as i8);
    let first = _mm512_unpacklo_epi8(hundreds, tens);
    let second = _mm512_unpacklo_epi8(ones, commas);
    let third = _mm512_unpackhi_epi8(hundreds, tens);
    let fourth = _mm512_unpackhi_epi8(ones, commas);
    let texts = [
        _mm512_unpacklo_epi16(first, second),
        _mm512_unpackhi_epi16(first, second),
        _mm512_unpacklo_epi16(third, fourth),
        _mm512_unpackhi_epi16(third, fourth),
    ];
    let mut at = at;
    for (done, text) in (0..count).step_by(16).zip(texts) {
        let places = u64::MAX >> (64 - 4 * (count - done).min(16));
        at = put(text, places, room, at);
    }
    at
}

/// Writes what stands at these places of a vector and is not 0.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512vbmi,avx512vbmi2,bmi1,bmi2,popcnt")]
fn put(text: __m512i, places: u64, room: &mut [MaybeUninit<u8>], at: usize) -> usize {
    let kept = _mm512_test_epi8_mask(text, text) & places;
    let room: &mut [MaybeUninit<u8>] = &mut room[at..at + 64];
    // SAFETY: writes 64 bytes, as many as were just found to be there, wherever they lie.
    unsafe { _mm512_storeu_si512(room.as_mut_ptr().cast(), _mm512_maskz_compress_epi8(kept, text)) };
    at + kept.count_ones() as usize
}

/// What the blocks read so far leave to the next: a number, and what stands about it, may begin in one and end in the other.
struct Before {
    /// The digits' values; other places have 0.
    ones: __m512i,
    /// What the number up to here is, times ten; 255 is too much. Other places have 0.
    tens: __m512i,
    digits: u64,
    commas: u64,
    /// Zeros that begin a number.
    leading: u64,
}

#[target_feature(enable = "avx512bw,avx512vl,avx512vbmi,avx512vbmi2,bmi1,bmi2,popcnt")]
fn read<const SPACES: usize>(text: &[u8], out: &mut BytesMut) -> Option<usize> {
    let nothing = _mm512_setzero_si512();
    let mut before = Before {
        ones: nothing,
        tens: nothing,
        digits: 0,
        commas: 0,
        leading: 0,
    };
    let mut at = 0;
    loop {
        let rest = text.get(at..)?;
        let (taken, ended) = read_block::<SPACES>(rest, &mut before, out)?;
        at += taken;
        if ended {
            return Some(at);
        }
    }
}

/// Reads the numbers that end in the first 64 bytes: how many bytes that took, and whether the array ends there.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512vbmi,avx512vbmi2,bmi1,bmi2,popcnt")]
fn read_block<const SPACES: usize>(
    text: &[u8],
    before: &mut Before,
    out: &mut BytesMut,
) -> Option<(usize, bool)> {
    let bytes = load(text);
    let values = _mm512_sub_epi8(bytes, _mm512_set1_epi8(b'0' as i8));
    let digits = _mm512_cmple_epu8_mask(values, _mm512_set1_epi8(9));
    let zeros = _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8(b'0' as i8));
    let mut commas = _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8(b',' as i8));
    let spaces = match SPACES {
        0 => 0,
        _ => _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8(b' ' as i8)),
    };
    let (numbers, exact) = numbers(_mm512_maskz_mov_epi8(digits, values), digits, before);

    let others = !(digits | commas | spaces);
    let (mut taken, mut array, mut ended) = (64, u64::MAX, false);
    if others != 0 {
        let end = others.trailing_zeros() as usize;
        if text.get(end) != Some(&b']') {
            return None;
        }
        // The bracket ends a number as a comma does; what follows it is none of the array.
        array = u64::MAX >> (63 - end);
        commas = commas & array | 1 << end;
        (taken, ended) = (end + 1, true);
    }

    // The three places before each.
    let one = digits << 1 | before.digits >> 63;
    let two = digits << 2 | before.digits >> 62;
    let three = digits << 3 | before.digits >> 61;
    let leading = zeros & !one;
    let mut wrong = commas & !(exact & one);
    wrong |= digits & one & two & three;
    wrong |= digits & (leading << 1 | before.leading >> 63);
    if SPACES != 0 {
        let wanted = commas << 1 | before.commas >> 63;
        wrong |= spaces ^ wanted;
    }
    if wrong & array != 0 {
        return None;
    }
    (before.digits, before.commas, before.leading) = (digits, commas, leading);
    append(
        _mm512_maskz_compress_epi8(commas, numbers),
        commas.count_ones(),
        out,
    );
    Some((taken, ended))
}

/// The number that ends before each place, and where that is exact: neither more than 255 nor from four digits or more.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512vbmi,avx512vbmi2,bmi1,bmi2,popcnt")]
fn numbers(ones: __m512i, digits: u64, before: &mut Before) -> (__m512i, u64) {
    // Tens and hundreds of a digit; sums that pass 255 stay there.
    let ten = _mm512_broadcast_i32x4(_mm_setr_epi8(
        0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 0, 0, 0, 0, 0, 0,
    ));
    let hundred = _mm512_broadcast_i32x4(_mm_setr_epi8(
        0, 100, -56, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0,
    ));
    let last = behind::<1>(before.ones, ones);
    let tens = _mm512_maskz_adds_epu8(
        digits,
        _mm512_shuffle_epi8(ten, ones),
        _mm512_shuffle_epi8(hundred, last),
    );
    let upper = behind::<2>(before.tens, tens);
    let sum = _mm512_adds_epu8(upper, last);
    let too_much = _mm512_cmpeq_epi8_mask(upper, _mm512_set1_epi8(-1))
        | _mm512_cmpneq_epi8_mask(sum, _mm512_add_epi8(upper, last));
    (before.ones, before.tens) = (ones, tens);
    (sum, !too_much)
}

/// At each place what is `N` places before it.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512vbmi,avx512vbmi2,bmi1,bmi2,popcnt")]
fn behind<const N: usize>(before: __m512i, now: __m512i) -> __m512i {
    const {
        assert!(N <= 64);
    }
    let places: &[u8; 64] = const { &places(64 - N) };
    _mm512_permutex2var_epi8(before, load_64(places), now)
}

/// Counts up from this place of two vectors in a row.
const fn places(first: usize) -> [u8; 64] {
    let mut places = [0; 64];
    let mut at = 0;
    while at < 64 {
        places[at] = (first + at) as u8;
        at += 1;
    }
    places
}

/// The first 64 bytes; zeros where there are fewer.
#[inline]
#[target_feature(enable = "avx512bw")]
fn load(text: &[u8]) -> __m512i {
    match text.first_chunk() {
        Some(block) => load_64(block),
        None => {
            let there = !(u64::MAX << text.len());
            // SAFETY: of fewer than 64 bytes, this reads those whose bits are set, which are the slice's.
            unsafe { _mm512_maskz_loadu_epi8(there, text.as_ptr().cast()) }
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_64(bytes: &[u8; 64]) -> __m512i {
    // SAFETY: reads 64 bytes, wherever they lie.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

/// Appends the first `count` bytes.
#[inline]
#[target_feature(enable = "avx512f")]
fn append(bytes: __m512i, count: u32, out: &mut BytesMut) {
    let mut all = [0_u8; 64];
    // SAFETY: writes 64 bytes, wherever they lie.
    unsafe { _mm512_storeu_si512(all.as_mut_ptr().cast(), bytes) };
    let len = out.len();
    // All of them, because a copy of one length is a single instruction.
    out.extend_from_slice(&all);
    out.truncate(len + count as usize);
}
