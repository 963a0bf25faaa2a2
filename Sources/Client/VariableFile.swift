/// Variables from a file of lines `NAME=VALUE`, as many tools keep them in `.env`.
///
/// Blank lines and those that begin with `#` are passed over, so is the word `export`. Between single quotes everything
/// is as it stands; between double quotes `\n`, `\r`, `\t`, `\"`, `\\` and `\$` mean what they do elsewhere, and the
/// value may go over several lines, as it may in single quotes. Without quotes a value ends at the line's end or at ` #`,
/// and blanks round it do not count. Nothing is put in for `$NAME`.
package enum VariableFile {
    /// Where a file is not of this form. No value is told: it may be a secret.
    package struct Fault: Error, Equatable {
        package let line: Int
        package let reason: String
    }

    package static func parse(_ text: String) throws(Fault) -> [(name: String, value: String)] {
        var reader = Reader(rest: Substring(text))
        var variables: [(name: String, value: String)] = []
        while try reader.skipToName() {
            let name = try reader.name()
            variables.append((name, try reader.value()))
        }
        return variables
    }

    /// `NAME=VALUE` as an argument has it: the value is all that follows.
    package static func parse(assignment: String) -> (name: String, value: String)? {
        guard let separator = assignment.firstIndex(of: "="), isName(assignment[..<separator]) else { return nil }
        return (String(assignment[..<separator]), String(assignment[assignment.index(after: separator)...]))
    }

    private static func isName(_ text: Substring) -> Bool {
        guard let first = text.utf8.first, !(0x30...0x39).contains(first) else { return false }
        return text.utf8.allSatisfy { byte in
            byte == UInt8(ascii: "_") || (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte)
                || (0x61...0x7A).contains(byte)
        }
    }

    private struct Reader {
        var rest: Substring
        var line = 1

        /// Whether there is another line with something in it.
        mutating func skipToName() throws(Fault) -> Bool {
            while let first = rest.first {
                if first == "#" {
                    skipLine()
                } else if first.isWhitespace {
                    take()
                } else {
                    return true
                }
            }
            return false
        }

        mutating func name() throws(Fault) -> String {
            if rest.hasPrefix("export ") || rest.hasPrefix("export\t") {
                rest = rest.dropFirst(7).drop { $0 == " " || $0 == "\t" }
            }
            let end = rest.firstIndex { $0 == "=" || $0.isNewline } ?? rest.endIndex
            guard end < rest.endIndex, rest[end] == "=" else { throw fault("there is no '='") }
            let name = rest[..<end].trimmingSuffix(while: { $0 == " " || $0 == "\t" })
            guard isName(name) else { throw fault("what is before '=' is no name: letters, digits and _") }
            rest = rest[rest.index(after: end)...].drop { $0 == " " || $0 == "\t" }
            return String(name)
        }

        mutating func value() throws(Fault) -> String {
            switch rest.first {
            case "'", "\"": return try quoted()
            default:
                let end = rest.firstIndex(where: \.isNewline) ?? rest.endIndex
                var value = rest[..<end]
                rest = rest[end...]
                if value.first == "#" { value = "" }
                if let comment = value.firstRange(of: " #") { value = value[..<comment.lowerBound] }
                return String(value.trimmingSuffix(while: \.isWhitespace))
            }
        }

        private mutating func quoted() throws(Fault) -> String {
            let opening = line
            let quote = take()
            var value = ""
            while let next = take() {
                if next == quote {
                    try endLine()
                    return value
                }
                guard next == "\\", quote == "\"" else {
                    value.append(next)
                    continue
                }
                switch take() {
                case "n": value.append("\n")
                case "r": value.append("\r")
                case "t": value.append("\t")
                case let escaped? where escaped == "\"" || escaped == "\\" || escaped == "$": value.append(escaped)
                case let other?: value.append("\\\(other)")
                case nil: break
                }
            }
            throw Fault(line: opening, reason: "the quote is not closed")
        }

        /// After a closing quote nothing may follow but a comment.
        private mutating func endLine() throws(Fault) {
            rest = rest.drop { $0 == " " || $0 == "\t" }
            guard let first = rest.first, !first.isNewline else { return }
            guard first == "#" else { throw fault("something follows the closing quote") }
            skipLine()
        }

        private mutating func skipLine() { rest = rest.drop { !$0.isNewline } }

        @discardableResult
        private mutating func take() -> Character? {
            guard let first = rest.popFirst() else { return nil }
            if first.isNewline { line += 1 }
            return first
        }

        private func fault(_ reason: String) -> Fault { Fault(line: line, reason: reason) }
    }
}

extension Substring {
    fileprivate func trimmingSuffix(while isLeftOff: (Character) -> Bool) -> Substring {
        var end = endIndex
        while end > startIndex, isLeftOff(self[index(before: end)]) { end = index(before: end) }
        return self[..<end]
    }
}
