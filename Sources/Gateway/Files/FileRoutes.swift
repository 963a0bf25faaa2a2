import Execution
import Fleet
import HTTPTypes
import NIOCore
import SSH

/// `/v1/files/{path}`: the files in the programs' home.
struct FileRoutes: Sendable {
    let operations: GatewayOperations
    let configuration: GatewayConfiguration

    private static let path = "/v1/files/{path...}"
    private static let pathParameter = RouteDescription.Parameter.path(
        "path", "From the home; what is not plain is escaped byte by byte, slashes are not. Empty: the home.",
        Schema.string(""))
    private static let environment = RouteDescription.Parameter.query(
        "environment", "Slug or id; your own VM without it.", Schema.string(""))
    private static let upload = RouteDescription.Parameter.query(
        "upload", "An id of your own for a file that is sent in parts.", Schema.string("", length: 8...64))
    private static let wakingErrors: [ServiceError.Code] = [
        .environmentNotFound, .vmStartTimeout, .vmFailed, .vmDestroyed, .vmUnreachable, .hostKeyMismatch,
        .pathOutsideHome, .fileNotFound, .fileForbidden, .fileRefused,
    ]

    var routes: [Route] {
        [
            .authenticated(.get, Self.path, Self.reading) { exchange, caller, parameters in
                try await read(exchange, caller, parameters)
            },
            .authenticated(.put, Self.path, Self.writing) { exchange, caller, parameters in
                try await write(exchange, caller, parameters)
            },
            .authenticated(.patch, Self.path, Self.changing) { exchange, caller, parameters in
                try await change(exchange, caller, parameters)
            },
            .authenticated(.delete, Self.path, Self.removing) { exchange, caller, parameters in
                try await remove(exchange, caller, parameters)
            },
        ]
    }

    // MARK: Descriptions

    private static let reading = RouteDescription(
        id: "readFile", group: .files, summary: "Read a file, list a directory",
        detail: """
            Without a query the file's bytes, with `ETag`, `Last-Modified` and `Range`. The VM is woken if it sleeps.
            """,
        parameters: [
            pathParameter, environment,
            .query("list", "Lists the directory instead.", Schema.string("")),
            .query("limit", "Most names in this page of a list; 200.", Schema.integer("", 1...1_000)),
            .query("after", "The last name of the page before, escaped as in its `path`.", Schema.string("")),
            .query("stat", "What is known of the name itself instead.", Schema.string("")),
            .query(
                "archive", "`tar`: all that is in the directory instead, as one stream.", Schema.choice("", ["tar"])),
            .query("inline", "Lets a browser show plain text and images.", Schema.string("")), upload,
        ],
        answers: [
            .json(
                "What the query asks for: `{\"files\",\"more\"}`, `{\"file\"}` or `{\"upload\"}`.",
                Schema.oneOf(
                    "",
                    [
                        Schema.view(
                            "",
                            [
                                "files": ["type": "array", "items": Schema.reference("File")],
                                "more": Schema.boolean("Whether there is a next page."),
                            ]), Schemas.wrapped("file", Schema.reference("File")),
                        Schemas.wrapped("upload", Schema.reference("Upload")),
                    ])),
            RouteDescription.Answer(
                status: .partialContent, summary: "The part that `Range` asks for.",
                contents: [RouteDescription.Content(type: "application/octet-stream", schema: [:])]),
            .empty(.notModified, "It is as `If-None-Match` says."),
        ],
        errors: wakingErrors + [.isDirectory, .notADirectory, .preconditionFailed, .rangeNotSatisfiable])

    private static let writing = RouteDescription(
        id: "writeFile", group: .files, summary: "Write a file, whole or in parts",
        detail: """
            Readers see the old file until all of the new one is on the disk. `If-None-Match: *` writes only what is not \
            there, `If-Match` only what is as its `ETag` says.

            In parts: the same `upload` and `total` with each, and `offset`, which is where the upload is. A part may be \
            cut; `GET` with `upload` says how far it came, and the next part goes on there. The file is there with its \
            last part; `If-Match` and `If-None-Match` are looked at with each. A home keeps 100 unfinished uploads, \
            beyond which none is begun (`file_refused`); one that nothing is added to for a day is removed.
            """,
        parameters: [
            pathParameter, environment,
            .query("parents", "Makes the directories that are missing on the way.", Schema.string("")),
            .query("mode", "As `chmod` takes it; else that of the old file, or 0644.", Schema.string("")), upload,
            .query("offset", "Where this part begins.", Schema.integer("", from: 0)),
            .query("total", "Bytes of the whole file.", Schema.integer("", from: 0)),
        ], body: .bytes,
        answers: [
            .json("It was replaced.", Schemas.wrapped("file", Schema.reference("File"))),
            .json(.created, "It is new.", Schemas.wrapped("file", Schema.reference("File"))),
            .json(.accepted, "The part is there.", Schemas.wrapped("upload", Schema.reference("Upload"))),
        ], errors: wakingErrors + [.fileExists, .isDirectory, .preconditionFailed, .uploadMismatch, .diskFull])

    private static let changing = RouteDescription(
        id: "changeFile", group: .files, summary: "Move, make a directory, set a mode",
        parameters: [pathParameter, environment],
        body: .json(Schema.reference("FileChange"), example: ["moveTo": "docs/new%20name.txt"]),
        answers: [.json("As it is then.", Schemas.wrapped("file", Schema.reference("File")))],
        errors: wakingErrors + [.fileExists, .isDirectory, .notADirectory, .directoryNotEmpty, .diskFull])

    private static let removing = RouteDescription(
        id: "removeFile", group: .files, summary: "Remove a file, a link or a directory",
        parameters: [
            pathParameter, environment,
            .query("recursive", "A directory with all that is in it.", Schema.string("")), upload,
        ],
        answers: [.empty(.noContent, "It is gone.")], errors: wakingErrors + [.directoryNotEmpty])

    // MARK: Handlers

    private func read(_ exchange: Exchange, _ caller: Caller, _ parameters: Route.Parameters) async throws {
        let target = exchange.target
        let path = try HomePath(encoded: parameters["path"] ?? "")
        let limit = try target.limit(1...1_000) ?? 200
        let after = try target["after"].map { try HomePath(encoded: $0).name }
        let upload = try target["upload"].map { try HomeFiles.Part(id: $0, offset: 0, total: 0) }
        let archive = target["archive"]
        guard archive == nil || archive == "tar" else {
            throw ServiceError(.invalidRequest, "'archive' can only be 'tar'.", hint: "Compress it at your end.")
        }
        try await lending(exchange, caller) { files in
            if let upload, let id = target["upload"] {
                guard let offset = try await files.uploaded(upload) else {
                    throw ServiceError(
                        .fileNotFound, "There is no upload '\(id)'.", hint: "Send it from the beginning: offset=0.")
                }
                try await exchange.respond(json: ["upload": UploadView(id: id, offset: offset)])
            } else if target.isSet("list") {
                struct List: Encodable {
                    let files: [FileView]
                    let more: Bool
                }
                let page = try await files.list(path, after: after, limit: limit)
                try await exchange.respond(json: List(files: page.entries.map { FileView($0) }, more: page.isCut))
            } else if target.isSet("stat") {
                try await exchange.respond(json: ["file": FileView(try await files.info(path))])
            } else if archive != nil {
                try await answerArchive(exchange, files, path)
            } else {
                do {
                    try await FileDownload(exchange: exchange, files: files).answer(
                        path, isInline: target.isSet("inline"))
                } catch let refusal as RangeRefused {
                    try await exchange.respond(
                        .rangeNotSatisfiable,
                        headers: [.contentType: "application/json", .contentRange: "bytes */\(refusal.size)"],
                        body: refusal.error.responseBody(requestID: exchange.id))
                }
            }
        }
    }

    private func answerArchive(_ exchange: Exchange, _ files: HomeFiles, _ path: HomePath) async throws {
        try await files.directory(path)  // before the head is sent
        let name = path.isHome ? Array("home".utf8) : path.name
        var headers = FileDownload.guarded
        headers[.contentType] = "application/x-tar"
        headers[.contentDisposition] = ContentType.attachment(name + Array(".tar".utf8))
        headers[.trailer] = HTTPField.Name.skippedFiles.rawName
        guard exchange.head.method != .head else {
            return try await exchange.respondWithoutBody(.ok, headers: headers)
        }
        var tar = TarStream(stream: try await exchange.stream(headers: headers), files: files)
        try await tar.write(path, as: name)
        try await tar.stream.finish(TarStream.end, trailers: [.skippedFiles: "\(tar.skipped)"])
    }

    private func write(_ exchange: Exchange, _ caller: Caller, _ parameters: Route.Parameters) async throws {
        let target = exchange.target
        let text = parameters["path"] ?? ""
        let path = try HomePath(encoded: text)
        guard !text.hasSuffix("/") else {
            throw ServiceError(
                .isDirectory, "A path that ends with '/' is a directory's.",
                hint: "PATCH with {\"directory\":true} makes one.")
        }
        var condition = FileCondition()
        condition.makesParents = target.isSet("parents")
        if let mode = target["mode"] {
            guard let bits = FileChange.mode(mode) else {
                throw ServiceError(.invalidRequest, "'mode' must be octal, such as 644.", hint: "Leave it out for 644.")
            }
            condition.mode = bits
        }
        condition.expectation = Self.expectation(exchange.head.headerFields)
        let part = try target["upload"].map { id in
            guard let offset = try target.number("offset", 0...(1 << 50)),
                let total = try target.number("total", 0...(1 << 50))
            else {
                throw ServiceError(
                    .invalidRequest, "An upload in parts needs 'offset' and 'total'.", hint: "Send both with each part."
                )
            }
            return try HomeFiles.Part(id: id, offset: UInt64(offset), total: UInt64(total))
        }
        // A client that has gone on has nobody to tell; one that closes its sending side waits for the answer.
        try await exchange.whileClientSends { [operations, configuration, condition] in
            try await operations.files(caller, target["environment"], exchange.id) { files in
                let written = try await files.write(path, condition, part: part) { file in
                    while let buffer = try await exchange.bodyBytes(within: configuration.stallTimeout) {
                        try await file.write(Array(buffer.readableBytesView))
                    }
                }
                switch written {
                case .part(let offset):
                    try await exchange.respond(
                        .accepted, json: ["upload": UploadView(id: target["upload"] ?? "", offset: offset)])
                case .whole(let info, let isNew):
                    try await exchange.respond(isNew ? .created : .ok, json: ["file": FileView(info)])
                }
            }
        }
    }

    private static func expectation(_ fields: HTTPFields) -> FileCondition.Expectation {
        if fields[.ifNoneMatch] == "*" { return .new }
        guard let tags = fields[.ifMatch] else { return .anything }
        if tags == "*" { return .existing }
        return .tagged(tags.split(separator: ",").map { String($0.filter { $0 != " " }) })
    }

    private func change(_ exchange: Exchange, _ caller: Caller, _ parameters: Route.Parameters) async throws {
        let path = try HomePath(encoded: parameters["path"] ?? "")
        let change = try FileChange.decode(
            try await exchange.jsonBody(upTo: 65_536, within: configuration.bodyTimeout))
        try await lending(exchange, caller) { files in
            var place = path
            switch change.deed {
            case .move(let new):
                try await files.move(path, to: new, replacing: change.overwrites, makesParents: change.makesParents)
                place = new
            case .makeDirectory: try await files.makeDirectory(path, makesParents: change.makesParents)
            case .setMode(let mode): try await files.setMode(mode, of: path)
            }
            try await exchange.respond(json: ["file": FileView(try await files.info(place))])
        }
    }

    private func remove(_ exchange: Exchange, _ caller: Caller, _ parameters: Route.Parameters) async throws {
        let target = exchange.target
        let path = try HomePath(encoded: parameters["path"] ?? "")
        let upload = try target["upload"].map { try HomeFiles.Part(id: $0, offset: 0, total: 0) }
        try await lending(exchange, caller) { files in
            if let upload {
                try await files.abandonUpload(upload)
            } else {
                try await files.remove(path, recursively: target.isSet("recursive"))
            }
            try await exchange.respond(.noContent)
        }
    }

    private func lending(
        _ exchange: Exchange, _ caller: Caller, _ body: @escaping @Sendable (HomeFiles) async throws -> Void
    ) async throws {
        try await exchange.whileClientListens { [operations] in
            try await operations.files(caller, exchange.target["environment"], exchange.id, body)
        }
    }
}

extension HTTPField.Name {
    static let skippedFiles = HTTPField.Name("Martlet-Skipped")!
}
