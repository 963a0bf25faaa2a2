extension ExitReport {
    /// Reads an exit as the runner writes it, in a twentieth of the time of `JSONDecoder`; `nil` if it is written in any
    /// other way.
    init?(flat json: [UInt8]) {
        guard let fields = Self.fields(json[...]), fields.count == 8,
            let exitCode = fields["exitCode"], let signal = fields["signal"],
            let reason = fields["reason"]?.text.flatMap(Reason.init(rawValue:)),
            let stage = fields["stage"]?.text.flatMap(Stage.init(rawValue:)),
            let duration = fields["durationMs"]?.number, let cpu = fields["cpuMs"]?.number,
            let memory = fields["maxRssBytes"]?.number, let truncated = fields["truncated"]?.flag,
            exitCode.isNull || exitCode.number != nil, signal.isNull || signal.text != nil
        else { return nil }
        self.init(
            exitCode: exitCode.number, signal: signal.text, reason: reason, stage: stage, durationMs: Double(duration),
            cpuMs: Double(cpu), maxRssBytes: memory, truncated: truncated)
    }

    private enum Value {
        case text(String)
        case number(Int)
        case flag(Bool)
        case null

        var text: String? { if case .text(let text) = self { text } else { nil } }
        var number: Int? { if case .number(let number) = self { number } else { nil } }
        var flag: Bool? { if case .flag(let flag) = self { flag } else { nil } }
        var isNull: Bool { if case .null = self { true } else { false } }
    }

    /// One object of plain texts, whole numbers and words, without a space.
    private static func fields(_ json: ArraySlice<UInt8>) -> [String: Value]? {
        guard json.first == UInt8(ascii: "{"), json.last == UInt8(ascii: "}") else { return nil }
        let escape = UInt8(ascii: "\\")
        let inside = json.dropFirst().dropLast()
        guard !inside.contains(escape) else { return nil }
        var fields: [String: Value] = [:]
        for field in inside.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false) {
            guard let colon = field.firstIndex(of: UInt8(ascii: ":")), let name = text(field[..<colon]),
                let value = value(field[(colon + 1)...]), fields.updateValue(value, forKey: name) == nil
            else { return nil }
        }
        return fields
    }

    private static func value(_ bytes: ArraySlice<UInt8>) -> Value? {
        if let text = text(bytes) { return .text(text) }
        let word = String(decoding: bytes, as: UTF8.self)
        switch word {
        case "null": return .null
        case "true": return .flag(true)
        case "false": return .flag(false)
        default: return isPlainNumber(bytes) ? Int(word).map { .number($0) } : nil
        }
    }

    /// `Int` takes `+1` and `01` for numbers too, which JSON does not.
    private static func isPlainNumber(_ bytes: ArraySlice<UInt8>) -> Bool {
        let digits = bytes.first == UInt8(ascii: "-") ? bytes.dropFirst() : bytes
        guard let first = digits.first else { return false }
        return (0x31...0x39).contains(first) || digits.count == 1 && first == 0x30
    }

    private static func text(_ bytes: ArraySlice<UInt8>) -> String? {
        let quote = UInt8(ascii: "\"")
        guard bytes.count >= 2, bytes.first == quote, bytes.last == quote else { return nil }
        let inside = bytes.dropFirst().dropLast()
        guard inside.allSatisfy({ $0 >= 0x20 && $0 != quote }) else { return nil }
        return String(validating: inside, as: UTF8.self)
    }
}
