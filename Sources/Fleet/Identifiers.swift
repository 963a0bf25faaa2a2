package import Foundation

/// An identifier that is a UUID in the database and its lower-case text everywhere else.
package protocol UUIDIdentifier: RawRepresentable, Hashable, Sendable, Codable, CustomStringConvertible
where RawValue == UUID {
    init(rawValue: UUID)
}

extension UUIDIdentifier {
    /// A new random identifier: version 4 of RFC 9562. Foundation's own opens a file for each.
    package init() {
        var random = SystemRandomNumberGenerator()
        let (high, low) = (random.next() as UInt64, random.next() as UInt64)
        let halves = ((high & ~0xF000 | 0x4000).bigEndian, (low & ~(3 << 62) | 2 << 62).bigEndian)
        self.init(rawValue: UUID(uuid: withUnsafeBytes(of: halves) { $0.load(as: uuid_t.self) }))
    }

    /// `nil` if the text is not a UUID.
    package init?(_ text: String) {
        guard let value = UUID(uuidString: text) else { return nil }
        self.init(rawValue: value)
    }

    package init(from decoder: any Decoder) throws {
        self.init(rawValue: try decoder.singleValueContainer().decode(UUID.self))
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }

    package var description: String { rawValue.uuidString.lowercased() }
}

package struct UserID: UUIDIdentifier {
    package let rawValue: UUID
    package init(rawValue: UUID) { self.rawValue = rawValue }
}

package struct TokenID: UUIDIdentifier {
    package let rawValue: UUID
    package init(rawValue: UUID) { self.rawValue = rawValue }
}

package struct EnvironmentID: UUIDIdentifier {
    package let rawValue: UUID
    package init(rawValue: UUID) { self.rawValue = rawValue }

    static let vmNamePrefix = "mlt-"

    /// From the name of its VM (``Environment/vmName``); `nil` if the name is of another form.
    package init?(vmName name: String) {
        guard name.hasPrefix(Self.vmNamePrefix) else { return nil }
        self.init(String(name.dropFirst(Self.vmNamePrefix.count)))
    }
}

package struct ExecutionID: UUIDIdentifier {
    package let rawValue: UUID
    package init(rawValue: UUID) { self.rawValue = rawValue }
}

package struct HostID: UUIDIdentifier {
    package let rawValue: UUID
    package init(rawValue: UUID) { self.rawValue = rawValue }
}

/// The short public name of an environment: `env_` and eight lower-case letters or digits.
package struct Slug: RawRepresentable, Hashable, Sendable, Codable, CustomStringConvertible {
    package let rawValue: String

    package init?(rawValue: String) {
        let letters = rawValue.utf8.dropFirst(4)
        let isLegal = letters.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x7A).contains($0) }
        guard rawValue.hasPrefix("env_"), letters.count == 8, isLegal else { return nil }
        self.rawValue = rawValue
    }

    /// A new random slug; 36^8 of them, so the database's unique index has the last word.
    package static func random() -> Slug {
        let alphabet = Array("0123456789abcdefghijklmnopqrstuvwxyz")
        var text = "env_"
        for _ in 0..<8 { text.append(alphabet[Int.random(in: alphabet.indices)]) }
        return Slug(unchecked: text)
    }

    private init(unchecked text: String) { rawValue = text }

    package var description: String { rawValue }
}
