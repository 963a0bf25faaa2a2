import Execution
import Fleet
import Foundation

/// A terminal as the API shows it.
struct TerminalView: Encodable, Sendable {
    var id: String
    var createdAt: Date
    @Nullable var command: String?

    init(_ terminal: Terminal) {
        id = terminal.id.rawValue
        createdAt = terminal.createdAt
        _command = Nullable(wrappedValue: terminal.command)
    }
}

extension Schemas {
    static var terminals: [(String, JSONValue)] { [("Terminal", terminal), ("NewTerminal", newTerminal)] }

    private static let terminal = Schema.view(
        "A shell in a VM that lives on between connections.",
        [
            "id": Schema.string("Names it."), "createdAt": Schema.date("Whole seconds."),
            "command": Schema.string("What runs in it; a login shell where it is null.", isNullable: true),
        ])

    private static let newTerminal = Schema.object(
        "All may be left out.", required: [],
        [
            "rows": Schema.integer("24 without it.", TerminalSize.range),
            "columns": Schema.integer("80 without it.", TerminalSize.range),
            "command": Schema.string("A line for the shell, instead of a login shell.", length: 1...4_096),
        ])
}

extension TerminalRequest {
    /// The body of `POST /v1/terminals`.
    static func decode(_ bytes: [UInt8]) throws(ServiceError) -> TerminalRequest {
        var reader = try JSONReader(bytes)
        var (rows, columns) = (TerminalSize.usual.rows, TerminalSize.usual.columns)
        var command: String?
        try reader.document { (reader: inout JSONReader) throws(ServiceError) in
            try reader.object { (reader: inout JSONReader, field: String) throws(ServiceError) in
                switch field {
                case "rows": rows = try reader.length()
                case "columns": columns = try reader.length()
                case "command":
                    let text = try reader.string()
                    guard (1...4_096).contains(text.utf8.count), !text.utf8.contains(0) else {
                        throw reader.invalid("must have 1 to 4096 bytes")
                    }
                    command = text
                default: throw reader.invalid("is not a known field", hint: "The body has rows, columns and command.")
                }
            }
        }
        return TerminalRequest(size: TerminalSize(rows: rows, columns: columns), command: command)
    }
}

/// A text frame to a terminal: `{"resize":{"rows":24,"columns":80}}`, or `{"taken":16384}`.
enum TerminalMessage: Equatable {
    case resize(TerminalSize)
    case taken(Int)

    static func decode(_ text: String) throws(ServiceError) -> TerminalMessage {
        var reader = try JSONReader(Array(text.utf8))
        var (rows, columns, taken): (Int?, Int?, Int?) = (nil, nil, nil)
        try reader.document { (reader: inout JSONReader) throws(ServiceError) in
            try reader.object { (reader: inout JSONReader, field: String) throws(ServiceError) in
                switch field {
                case "resize":
                    try reader.object { (reader: inout JSONReader, field: String) throws(ServiceError) in
                        switch field {
                        case "rows": rows = try reader.length()
                        case "columns": columns = try reader.length()
                        default: throw reader.invalid("is not a known field", hint: "Send rows and columns.")
                        }
                    }
                case "taken":
                    let count = try reader.integer()
                    guard (1...TerminalWindow.range.upperBound).contains(count) else {
                        throw reader.invalid("must be from 1 to \(TerminalWindow.range.upperBound)")
                    }
                    taken = count
                default: throw reader.invalid("is not a known field", hint: "Send 'resize' or 'taken'.")
                }
            }
        }
        switch (rows, columns, taken) {
        case (let rows?, let columns?, nil): return .resize(TerminalSize(rows: rows, columns: columns))
        case (nil, nil, let taken?): return .taken(taken)
        default:
            throw ServiceError(
                .invalidRequest, "That is neither a resize with 'rows' and 'columns' nor a 'taken'.",
                hint: "Send one of them.")
        }
    }
}

extension JSONReader {
    fileprivate mutating func length() throws(ServiceError) -> Int {
        let number = try integer()
        guard TerminalSize.range.contains(number) else { throw invalid("must be from 1 to 1000") }
        return number
    }
}
