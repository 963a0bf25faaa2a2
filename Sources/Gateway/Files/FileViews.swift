import Execution
import Foundation
import SSH

/// One name in a home as the API shows it.
struct FileView: Encodable, Sendable {
    var path: String
    var name: String
    var type: String
    var size: UInt64
    var modifiedAt: Date
    var mode: String
    @Nullable var target: String?
    var tag: String

    init(_ info: FileInfo) {
        path = info.path.encoded
        name = String(decoding: info.path.name, as: UTF8.self)
        type =
            switch info.attributes.kind {
            case .file: "file"
            case .directory: "directory"
            case .link: "link"
            case .other: "other"
            }
        size = info.size
        modifiedAt = info.modified
        let digits = String(info.attributes.mode, radix: 8)
        mode = String(repeating: "0", count: max(0, 4 - digits.count)) + digits
        _target = Nullable(wrappedValue: info.target.map { String(decoding: $0, as: UTF8.self) })
        tag = info.tag
    }
}

/// How far a file is that is sent in parts.
struct UploadView: Encodable, Sendable {
    var id: String
    var offset: UInt64
}

extension Schemas {
    static var files: [(String, JSONValue)] {
        [("File", file), ("FileChange", fileChange), ("Upload", upload)]
    }

    private static let file = Schema.view(
        "One name in the programs' home.",
        [
            "path": Schema.string("From the home, escaped byte by byte as it stands in a URL; names need not be text."),
            "name": Schema.string("Its last part, for people: what is no text is shown as U+FFFD."),
            "type": Schema.choice("", ["file", "directory", "link", "other"]), "size": Schema.integer("Bytes."),
            "modifiedAt": Schema.date("Whole seconds."), "mode": Schema.string("As `chmod` takes it.", example: "0644"),
            "target": Schema.string("What a link says.", isNullable: true),
            "tag": Schema.string("The `ETag` of its content."),
        ])

    private static let upload = Schema.view(
        "A file that is sent in parts.",
        ["id": Schema.string("The client's own."), "offset": Schema.integer("Bytes that are there.")])

    private static let fileChange = Schema.object(
        "One of `moveTo`, `directory` and `mode`.", required: [],
        [
            "moveTo": Schema.string("Its new path from the home, escaped as in a URL."),
            "directory": Schema.boolean("`true`: makes the path a directory."),
            "mode": Schema.string("As `chmod` takes it.", pattern: "^[0-7]{3,4}$"),
            "overwrite": Schema.boolean("Whether `moveTo` may replace a file."),
            "parents": Schema.boolean("Makes the directories that are missing on the way."),
        ])
}
