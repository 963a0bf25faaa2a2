/// Columns for people: as wide as their widest cell, two spaces apart, nothing after the last.
package struct TextTable: CustomStringConvertible {
    package struct Cell: Sendable, Equatable, ExpressibleByStringLiteral {
        package let text: String
        package let tone: Tone

        /// - Parameter text: control characters in it are written out.
        package init(_ text: String, _ tone: Tone = .plain) {
            self.text = TerminalText.visible(text)
            self.tone = tone
        }

        package init(stringLiteral value: String) { self.init(value) }
    }

    private var rows: [[Cell]]

    package init(_ header: [String]) { rows = [header.map { Cell($0) }] }

    package mutating func add(_ row: [Cell]) { rows.append(row) }

    package mutating func add(_ row: [String]) { rows.append(row.map { Cell($0) }) }

    package var description: String { text(TextStyle(hasColours: false)) }

    package func text(_ style: TextStyle) -> String {
        let columns = rows.map(\.count).max() ?? 0
        let widths = (0..<columns).map { column in
            rows.map { $0.count > column ? $0[column].text.count : 0 }.max() ?? 0
        }
        return rows.map { row in
            row.enumerated().map { index, cell in
                let gap = index == row.count - 1 ? 0 : widths[index] - cell.text.count
                return style.dressed(cell.text, cell.tone) + String(repeating: " ", count: gap)
            }.joined(separator: "  ")
        }.joined(separator: "\n")
    }
}
