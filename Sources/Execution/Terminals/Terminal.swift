package import Foundation

/// A terminal's name, given by whoever makes it: small letters, digits and dashes.
package struct TerminalID: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    package let rawValue: String

    package init?(rawValue: String) {
        guard (8...64).contains(rawValue.utf8.count), rawValue.first != "-",
            rawValue.utf8.allSatisfy({
                (UInt8(ascii: "a")...UInt8(ascii: "z")).contains($0)
                    || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) || $0 == UInt8(ascii: "-")
            })
        else { return nil }
        self.rawValue = rawValue
    }

    /// A new one.
    package init() { rawValue = UUID().uuidString.lowercased() }

    package var description: String { rawValue }
}

package struct TerminalSize: Sendable, Equatable {
    package let rows: Int
    package let columns: Int

    package static let range = 1...1_000
    package static let usual = TerminalSize(rows: 24, columns: 80)

    /// Both within ``range``.
    package init(rows: Int, columns: Int) {
        self.rows = rows
        self.columns = columns
    }
}

/// The most bytes of output that a terminal's user may not yet have taken: what is on its way cannot be held back by an
/// interrupt.
package enum TerminalWindow {
    package static let range = 4_096...1_048_576
}

/// What a new terminal is to be.
package struct TerminalRequest: Sendable {
    package var id: TerminalID
    package var size: TerminalSize
    package var command: String?  // instead of a login shell

    package init(id: TerminalID = TerminalID(), size: TerminalSize = .usual, command: String? = nil) {
        self.id = id
        self.size = size
        self.command = command
    }
}

/// A terminal that lives, as its holder's file says. Where it listens and its secret stay within this room.
package struct Terminal: Sendable {
    package let id: TerminalID
    package let createdAt: Date
    package let command: String?
    let port: Int
    let secret: String
}

extension Terminal: Decodable {
    private enum Key: String, CodingKey { case id, port, secret, createdAt, command }

    package init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: Key.self)
        let text = try container.decode(String.self, forKey: .id)
        guard let id = TerminalID(rawValue: text) else {
            throw DecodingError.dataCorruptedError(forKey: .id, in: container, debugDescription: "no id of a terminal")
        }
        self.id = id
        port = try container.decode(Int.self, forKey: .port)
        secret = try container.decode(String.self, forKey: .secret)
        createdAt = Date(timeIntervalSince1970: try container.decode(Double.self, forKey: .createdAt))
        command = try container.decodeIfPresent(String.self, forKey: .command)
    }
}
