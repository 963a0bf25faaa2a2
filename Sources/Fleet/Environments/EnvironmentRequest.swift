/// What somebody wants an environment to be. Checked, against the tier too, when it is made.
package struct EnvironmentRequest: Sendable {
    package var name: String
    package var provider: String
    /// For providers that offer a choice.
    package var flavor: String?
    package var region: String?
    package var setup: EnvironmentSetup
    /// How long it may exist before it is destroyed, 1…8760; `nil`: for ever.
    package var durationHours: Int?
    // At most the tier's; `nil`: the tier's.
    package var vcpus: Int?
    package var memoryMb: Int?
    package var diskMb: Int?

    package init(name: String, provider: String) {
        self.name = name
        self.provider = provider
        setup = EnvironmentSetup()
    }

    package var initScript: String? {
        get { setup.initScript }
        set { setup.initScript = newValue }
    }
    package var variables: [String: String] {
        get { setup.variables }
        set { setup.variables = newValue }
    }
    package var repository: Repository? {
        get { setup.repository }
        set { setup.repository = newValue }
    }

    static let durations = 1...8_760

    /// Throws `invalid_request`, naming the field.
    func check() throws(ServiceError) {
        try Self.check(name: name)
        guard Label.isLegal(provider, 1...64) else {
            throw .invalid("provider", "has no legal form", "Leave it out for the server's own.")
        }
        for (field, value) in [("flavor", flavor), ("region", region)] {
            guard value.map({ Label.isLegal($0) }) ?? true else {
                throw .invalid(field, "has no legal form", "Give 1 to 100 characters, or leave it out.")
            }
        }
        try Self.check(durationHours: durationHours)
        try setup.check()
    }

    static func check(name: String) throws(ServiceError) {
        guard Label.isLegal(name) else {
            throw .invalid("name", "has no legal form", "Give 1 to 100 characters, no control characters.")
        }
    }

    static func check(durationHours: Int?) throws(ServiceError) {
        guard durationHours.map(durations.contains) ?? true else {
            throw .invalid(
                "durationHours", "is \(durationHours ?? 0)",
                "Give \(durations.lowerBound) to \(durations.upperBound), or leave it out for no end.")
        }
    }

    /// What the machine gets of a user of this tier. Throws `invalid_request` and `limit_exceeded`, naming the field.
    func size(in tier: Tier) throws(ServiceError) -> MachineSize {
        func checked(_ value: Int?, _ field: String, _ least: Int, _ most: Int) throws(ServiceError) -> Int {
            guard let value else { return most }
            guard value >= least else {
                throw .invalid(
                    field, "is \(value)", "It must be at least \(least); leave it out for the tier's \(most).")
            }
            guard value <= most else {
                throw ServiceError(
                    .limitExceeded, "'\(field)' is \(value); tier '\(tier.rawValue)' allows at most \(most).",
                    hint: "Ask for less, or ask an admin for a larger tier.")
            }
            return value
        }
        return MachineSize(
            vcpus: try checked(vcpus, "vcpus", MachineSize.least.vcpus, tier.vcpus),
            memoryMb: try checked(memoryMb, "memoryMb", MachineSize.least.memoryMb, tier.memoryMb),
            diskMb: try checked(diskMb, "diskMb", MachineSize.least.diskMb, tier.diskMb))
    }
}

/// What may be changed of an environment; `nil` leaves it as it is. Holds secrets: its description leaves them out.
package struct EnvironmentUpdate: Sendable, CustomStringConvertible {
    package var name: String?
    /// All of them: those not among these are gone.
    package var variables: [String: String]?
    /// Counted from the change on; `.some(nil)`: no end.
    package var durationHours: Int??
    /// Run after the next start; `.some(nil)`: none.
    package var initScript: String??

    package init() {}

    package var description: String { "update of \(fields.joined(separator: ", "))" }

    /// What is not `nil`, by its name in the API.
    var fields: [String] {
        [
            name == nil ? nil : "name", variables == nil ? nil : "variables",
            initScript == nil ? nil : "initScript", durationHours == nil ? nil : "durationHours",
        ].compactMap(\.self)
    }
}

/// The three measures of a machine.
package struct MachineSize: Sendable, Hashable {
    package var vcpus: Int
    package var memoryMb: Int
    package var diskMb: Int

    /// Less than this no machine can be made of.
    package static let least = MachineSize(vcpus: 1, memoryMb: 64, diskMb: 32)

    package init(vcpus: Int, memoryMb: Int, diskMb: Int) {
        self.vcpus = vcpus
        self.memoryMb = memoryMb
        self.diskMb = diskMb
    }
}

extension ServiceError {
    /// A field of a request that has no legal value.
    static func invalid(_ field: String, _ what: String, _ hint: String) -> ServiceError {
        ServiceError(.invalidRequest, "'\(field)' \(what).", hint: hint)
    }
}
