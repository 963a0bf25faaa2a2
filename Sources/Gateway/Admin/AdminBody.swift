import Fleet

/// The bodies of `/v1/admin`. Here their form is checked; whether the values are allowed is Fleet's to say.
enum AdminBody {
    struct NewUser {
        var name = ""
        var email: String?
        var role = Caller.Role.user
        var tier = Tier.free
    }

    struct UserChange {
        var update = UserUpdate()
        var tier: Tier?
        var hasUpdate: Bool { update.name != nil || update.email != nil || update.role != nil }
    }

    struct NewHost {
        var name = ""
        var address = ""
        var size = MachineSize(vcpus: 0, memoryMb: 0, diskMb: 0)
    }

    static func newUser(_ bytes: [UInt8]) throws(ServiceError) -> NewUser {
        var user = NewUser()
        try object(bytes, required: ["name"]) { (reader: inout JSONReader, field) throws(ServiceError) in
            switch field {
            case "name": user.name = try reader.string()
            case "email": user.email = try reader.null() ? nil : try reader.string()
            case "role": if try !reader.null() { user.role = try choice(&reader) }
            case "tier": if try !reader.null() { user.tier = try choice(&reader) }
            default: throw reader.invalid("is not a known field", hint: "The body has name, email, role and tier.")
            }
        }
        return user
    }

    static func userChange(_ bytes: [UInt8]) throws(ServiceError) -> UserChange {
        var change = UserChange()
        try object(bytes) { (reader: inout JSONReader, field) throws(ServiceError) in
            switch field {
            case "name": change.update.name = try reader.string()
            case "email": change.update.email = .some(try reader.null() ? nil : try reader.string())
            case "role": change.update.role = try choice(&reader)
            case "tier": change.tier = try choice(&reader)
            default:
                throw reader.invalid(
                    "is not a field that can be changed", hint: "These can: name, email, role and tier.")
            }
        }
        return change
    }

    static func overrides(_ bytes: [UInt8]) throws(ServiceError) -> QuotaOverrides {
        var overrides = QuotaOverrides()
        try object(bytes) { (reader: inout JSONReader, field) throws(ServiceError) in
            if field == "network" {
                overrides.network = try reader.null() ? nil : try choice(&reader)
                return
            }
            let value = try reader.null() ? nil : try reader.integer()
            switch field {
            case "environments": overrides.environments = value
            case "runningEnvironments": overrides.runningEnvironments = value
            case "vcpus": overrides.vcpus = value
            case "memoryMb": overrides.memoryMb = value
            case "diskMb": overrides.diskMb = value
            case "runtimeHours": overrides.runtimeHours = value
            default:
                throw reader.invalid(
                    "is not a quota",
                    hint: """
                        There are environments, runningEnvironments, vcpus, memoryMb, diskMb, runtimeHours and \
                        network.
                        """)
            }
        }
        return overrides
    }

    static func newHost(_ bytes: [UInt8]) throws(ServiceError) -> NewHost {
        var host = NewHost()
        let required = ["name", "address", "vcpus", "memoryMb", "diskMb"]
        try object(bytes, required: required) { (reader: inout JSONReader, field) throws(ServiceError) in
            switch field {
            case "name": host.name = try reader.string()
            case "address": host.address = try reader.string()
            case "vcpus": host.size.vcpus = try reader.integer()
            case "memoryMb": host.size.memoryMb = try reader.integer()
            case "diskMb": host.size.diskMb = try reader.integer()
            default:
                throw reader.invalid(
                    "is not a known field", hint: "The body has \(required.joined(separator: ", ")).")
            }
        }
        return host
    }

    private static func object(
        _ bytes: [UInt8], required: [String] = [],
        _ read: (inout JSONReader, String) throws(ServiceError) -> Void
    ) throws(ServiceError) {
        var reader = try JSONReader(bytes)
        var seen: Set<String> = []
        try reader.document { (reader: inout JSONReader) throws(ServiceError) in
            try reader.object { (reader: inout JSONReader, field: String) throws(ServiceError) in
                seen.insert(field)
                try read(&reader, field)
            }
        }
        if let missing = required.first(where: { !seen.contains($0) }) {
            throw ServiceError(
                .invalidRequest, "'\(missing)' is missing.",
                hint: "The body needs \(required.joined(separator: ", ")).")
        }
    }

    private static func choice<Value: CaseIterable & RawRepresentable<String>>(
        _ reader: inout JSONReader
    ) throws(ServiceError) -> Value {
        let text = try reader.string()
        guard let value = Value(rawValue: text) else {
            throw reader.invalid(
                "must not be '\(text.prefix(32))'",
                hint: "Send one of: \(Value.allCases.map(\.rawValue).joined(separator: ", ")).")
        }
        return value
    }
}
