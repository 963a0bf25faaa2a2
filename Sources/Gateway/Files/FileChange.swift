import Execution
import Fleet

/// The body of `PATCH /v1/files/{path}`.
struct FileChange: Sendable {
    enum Deed: Sendable {
        case move(HomePath)
        case makeDirectory
        case setMode(UInt32)
    }

    let deed: Deed
    let overwrites: Bool
    let makesParents: Bool

    static func decode(_ bytes: [UInt8]) throws(ServiceError) -> FileChange {
        var reader = try JSONReader(bytes)
        var deeds: [Deed] = []
        var (overwrites, makesParents) = (false, false)
        try reader.document { (reader: inout JSONReader) throws(ServiceError) in
            try reader.object { (reader: inout JSONReader, field: String) throws(ServiceError) in
                switch field {
                case "moveTo": deeds.append(.move(try HomePath(encoded: try reader.string())))
                case "directory":
                    guard try reader.boolean() else { throw reader.invalid("can only be true") }
                    deeds.append(.makeDirectory)
                case "mode":
                    guard let mode = Self.mode(try reader.string()) else { throw reader.invalid("is no mode") }
                    deeds.append(.setMode(mode))
                case "overwrite": overwrites = try reader.boolean()
                case "parents": makesParents = try reader.boolean()
                default:
                    throw reader.invalid(
                        "is not a known field", hint: "The body has moveTo, directory, mode, overwrite and parents.")
                }
            }
        }
        guard deeds.count == 1, let deed = deeds.first else {
            throw ServiceError(
                .invalidRequest, "The body says \(deeds.count) things to do.",
                hint: "Send one of moveTo, directory and mode.")
        }
        return FileChange(deed: deed, overwrites: overwrites, makesParents: makesParents)
    }

    /// Three or four octal digits.
    static func mode(_ text: String) -> UInt32? {
        guard (3...4).contains(text.utf8.count), let mode = UInt32(text, radix: 8) else { return nil }
        return mode
    }
}
