import Foundation

/// Text of others on its way to a terminal. Names, messages and output belong to users, who may not command the terminal
/// of whoever looks at them.
package enum TerminalText {
    /// The text with what a terminal would obey written out (`\x1B`), and what would turn its letters round (Unicode's
    /// bidirectional controls). Line ends and tabs stay if `keepsLines`, else they become spaces.
    package static func visible(_ text: String, keepsLines: Bool = false) -> String {
        guard text.unicodeScalars.contains(where: isObeyed) else { return text }
        var shown = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\n", "\t": shown.unicodeScalars.append(keepsLines ? scalar : " ")
            case "\r" where keepsLines: continue
            case _ where isObeyed(scalar):
                shown += String(format: scalar.value < 0x100 ? "\\x%02X" : "\\u{%X}", scalar.value)
            default: shown.unicodeScalars.append(scalar)
            }
        }
        return shown
    }

    private static func isObeyed(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0..<0x20, 0x7F..<0xA0, 0x200E...0x200F, 0x202A...0x202E, 0x2066...0x2069: true
        default: false
        }
    }
}
