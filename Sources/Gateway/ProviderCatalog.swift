package import Fleet

/// A size of VM that a provider makes.
package struct FlavorView: Encodable, Sendable {
    package var id: String
    package var name: String
    package var vcpus: Int
    package var ram: Int  // GB
    package var disk: Int  // GB
    package var type: String
    package var available: Bool
    package var region: String

    package init(
        id: String, name: String, vcpus: Int, ram: Int, disk: Int, type: String, available: Bool, region: String
    ) {
        self.id = id
        self.name = name
        self.vcpus = vcpus
        self.ram = ram
        self.disk = disk
        self.type = type
        self.available = available
        self.region = region
    }

    /// One flavour a tier, for a provider that makes VMs of the sizes of the tiers and no other.
    package static func tiers(type: String, region: String) -> [FlavorView] {
        Tier.allCases.map { tier in
            FlavorView(
                id: tier.rawValue, name: tier.rawValue, vcpus: tier.vcpus, ram: tier.memoryMb / 1_024,
                disk: tier.diskMb / 1_024, type: type, available: true, region: region)
        }
    }

    /// As a user of this tier may have it.
    func offered(to tier: Tier) -> FlavorView {
        var view = self
        view.available = available && vcpus <= tier.vcpus && ram * 1_024 <= tier.memoryMb
        return view
    }
}

/// What all providers offer, in their order, and which of them did not say.
package struct Offer: Encodable, Sendable {
    /// A provider that did not say what it offers, in the words of a ``ServiceError``.
    package struct Gap: Encodable, Sendable {
        let provider: String
        let message: String
        let hint: String
    }

    package private(set) var flavors: [FlavorView] = []
    package private(set) var regions: [String] = []
    package private(set) var unavailable: [Gap] = []

    package init() {}

    package mutating func add(flavors: [FlavorView], regions: [String]) {
        self.flavors += flavors
        self.regions += regions
    }

    package mutating func add(_ provider: String, _ error: ServiceError) {
        unavailable.append(Gap(provider: provider, message: error.message, hint: error.hint))
    }

    func offered(to tier: Tier) -> Offer {
        var offer = self
        offer.flavors = flavors.map { $0.offered(to: tier) }
        return offer
    }
}

/// The gateway runs without a provider of VMs, so whoever knows both hands this over. Throws a ``ServiceError`` where no
/// provider says anything.
package typealias ProviderCatalog = @Sendable () async throws -> Offer
