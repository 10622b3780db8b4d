//! What the benchmark reads of a packet, without decoding its JSON.

/// The digits behind `name`, as a number.
pub fn number_after(text: &[u8], name: &[u8]) -> Option<u64> {
    let start = find(text, name)? + name.len();
    let digits = text[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&text[start..start + digits]).ok()?.parse().ok()
}

/// The string behind `name`, up to its quotation mark.
pub fn string_after<'a>(text: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let start = find(text, name)? + name.len();
    let length = text[start..].iter().position(|&byte| byte == b'"')?;
    Some(&text[start..start + length])
}

/// The offset that stands behind an event's arguments, as a standard client sees it: the last one, if it is a string.
pub fn offset(text: &[u8]) -> Option<&[u8]> {
    let inner = text.strip_suffix(b"\"]")?;
    let start = inner.iter().rposition(|&byte| byte == b'"')?;
    inner[..start].ends_with(b",").then(|| &inner[start + 1..])
}

fn find(text: &[u8], name: &[u8]) -> Option<usize> {
    let first = *name.first()?;
    let mut at = 0;
    while let Some(found) = text[at..].iter().position(|&byte| byte == first) {
        at += found;
        if text[at..].starts_with(name) {
            return Some(at);
        }
        at += 1;
    }
    None
}
