import Fleet

/// The bodies of `POST /v1/environments` and `PATCH /v1/environments/{slug}`. Here their form is checked; whether the
/// values are allowed is Fleet's to say. A field that is `null` counts as left out where an environment is made; where
/// one is changed it takes the thing away.
enum EnvironmentBody {
    /// Most bytes of a body: script and variables may take 64 KiB each, and more when escaped.
    static let limit = 1 << 20

    static func request(_ bytes: [UInt8], provider: String) throws(ServiceError) -> EnvironmentRequest {
        var reader = try JSONReader(bytes)
        var request = EnvironmentRequest(name: "", provider: provider)
        var name: String?
        try reader.document { (reader: inout JSONReader) throws(ServiceError) in
            try reader.object { (reader: inout JSONReader, field: String) throws(ServiceError) in
                if knownFields.contains(field), try reader.null() { return }
                switch field {
                case "name": name = try reader.string()
                case "provider": request.provider = try reader.string()
                case "flavor": request.flavor = try reader.string()
                case "region": request.region = try reader.string()
                case "initScript": request.initScript = try reader.string()
                case "environmentVars": request.variables = try variables(&reader)
                case "repository": request.repository = try repository(&reader)
                case "durationHours": request.durationHours = try reader.integer()
                case "vcpus": request.vcpus = try reader.integer()
                case "memoryMb": request.memoryMb = try reader.integer()
                case "diskMb": request.diskMb = try reader.integer()
                default:
                    throw reader.invalid(
                        "is not a known field", hint: "The body has \(knownFields.sorted().joined(separator: ", ")).")
                }
            }
        }
        guard let name else {
            throw ServiceError(
                .invalidRequest, "'name' is missing.", hint: "Send a name to know the environment by, such as 'web'.")
        }
        request.name = name
        return request
    }

    static func update(_ bytes: [UInt8]) throws(ServiceError) -> EnvironmentUpdate {
        var reader = try JSONReader(bytes)
        var update = EnvironmentUpdate()
        try reader.document { (reader: inout JSONReader) throws(ServiceError) in
            try reader.object { (reader: inout JSONReader, field: String) throws(ServiceError) in
                switch field {
                case "name": update.name = try reader.string()
                case "environmentVars": update.variables = try reader.null() ? [:] : try variables(&reader)
                case "initScript": update.initScript = .some(try reader.null() ? nil : try reader.string())
                case "durationHours": update.durationHours = .some(try reader.null() ? nil : try reader.integer())
                default:
                    throw reader.invalid(
                        "is not a field that can be changed",
                        hint: "These can: name, environmentVars, initScript, durationHours.")
                }
            }
        }
        return update
    }

    private static let knownFields: Set = [
        "name", "provider", "flavor", "region", "initScript", "environmentVars", "repository", "durationHours",
        "vcpus", "memoryMb", "diskMb",
    ]

    private static func variables(_ reader: inout JSONReader) throws(ServiceError) -> [String: String] {
        var variables: [String: String] = [:]
        try reader.object { (reader: inout JSONReader, name: String) throws(ServiceError) in
            variables[name] = try reader.string()
        }
        return variables
    }

    /// An object, or the URL alone, with the branch behind a `#` as where URLs are pasted.
    private static func repository(_ reader: inout JSONReader) throws(ServiceError) -> Repository {
        if reader.isAtString() {
            let parts = try reader.string().split(separator: "#", maxSplits: 1, omittingEmptySubsequences: false)
            return Repository(url: String(parts[0]), branch: parts.count > 1 ? String(parts[1]) : nil)
        }
        var url: String?
        var branch: String?
        try reader.object { (reader: inout JSONReader, field: String) throws(ServiceError) in
            switch field {
            case "url": url = try reader.string()
            case "branch": branch = try reader.null() ? nil : try reader.string()
            default: throw reader.invalid("is not a known field", hint: "A repository has url and branch.")
            }
        }
        guard let url else { throw reader.invalid("has no 'url'", hint: "A repository has url and branch.") }
        return Repository(url: url, branch: branch)
    }
}
