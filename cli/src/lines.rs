use crate::failure::Failure;
use crate::value::{Kind, Value};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};

/// The lines of an input, each of a bounded length.
pub(crate) struct Lines<R> {
    input: BufReader<R>,
    longest: usize,
    number: u64,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(crate) fn new(input: R, longest: usize) -> Self {
        Self {
            input: BufReader::new(input),
            longest,
            number: 0,
        }
    }

    /// The next one as a value; `None` at the end. Blank lines are no JSON and are passed over as such.
    pub(crate) async fn next(&mut self, kind: Kind) -> Result<Option<Value>, Failure> {
        loop {
            let Some(mut line) = self.line().await? else {
                return Ok(None);
            };
            if kind != Kind::Bytes && line.last() == Some(&b'\r') {
                line.pop();
            }
            if kind == Kind::Json && line.trim_ascii().is_empty() {
                continue;
            }
            let value = Value::read(line, kind)
                .map_err(|why| Failure::usage(format!("line {} of stdin is {why}", self.number)))?;
            return Ok(Some(value));
        }
    }

    async fn line(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        let mut line = Vec::new();
        // One more for the line feed.
        let most = self.longest as u64 + 1;
        let read = (&mut self.input).take(most).read_until(b'\n', &mut line).await;
        self.number += 1;
        let number = self.number;
        match read {
            Ok(0) => return Ok(None),
            Ok(_) => {}
            Err(error) => return Err(Failure::failed(format!("stdin cannot be read: {error}"))),
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        } else if line.len() as u64 == most {
            let longest = self.longest;
            return Err(Failure::usage(format!(
                "line {number} of stdin is longer than {longest} bytes"
            )));
        }
        Ok(Some(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(input: &[u8], longest: usize, kind: Kind) -> Result<Vec<String>, Failure> {
        let mut lines = Lines::new(input, longest);
        let mut out = Vec::new();
        while let Some(value) = lines.next(kind).await? {
            out.push(match value {
                Value::Json(text) | Value::Text(text) => text,
                Value::Bytes(bytes) => format!("{bytes:?}"),
                Value::Nothing => "nothing".into(),
            });
        }
        Ok(out)
    }

    #[tokio::test]
    async fn lines_as_values() {
        assert_eq!(
            read(b"1\n\n \r\n{}\r\n\"a\"", 10, Kind::Json).await.unwrap(),
            ["1", "{}", "\"a\""]
        );
        assert_eq!(read(b"a\n\nb\r\n", 10, Kind::Str).await.unwrap(), ["a", "", "b"]);
        assert_eq!(read(b"\xff\r\n", 10, Kind::Bytes).await.unwrap(), ["[255, 13]"]);
        assert!(read(b"", 10, Kind::Str).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn lines_that_cannot_be_sent_are_named() {
        for (input, kind) in [
            (&b"1\nhi\n"[..], Kind::Json),
            (b"a\n\xff\n", Kind::Str),
            (b"a\n12345678901\n", Kind::Str),
        ] {
            assert_eq!(read(input, 10, kind).await.unwrap_err().code, 64, "{input:?}");
        }
        assert_eq!(
            read(b"1234567890\n1234567890", 10, Kind::Str)
                .await
                .unwrap()
                .len(),
            2
        );
    }
}
